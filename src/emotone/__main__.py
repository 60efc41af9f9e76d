"""`python -m emotone`."""

from emotone.cli import main

if __name__ == "__main__":
    main()
