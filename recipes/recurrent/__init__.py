"""How the three recurrent systems are compared."""
