"""`python -m ladder_hub` is the command `ladder-hub`; torchrun starts it this way."""

from ladder_hub.cli import main

if __name__ == "__main__":
    main()
