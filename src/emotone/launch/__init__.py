"""The same work by many processes: Ray's workers, here or on other machines."""
