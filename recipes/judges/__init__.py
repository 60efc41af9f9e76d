"""How the judges of the zoo are made."""
