"""`python -m veritasvault.cli` is the console command `veritas`."""

from veritasvault.cli.app import main

if __name__ == "__main__":
    main()
