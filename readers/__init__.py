"""What other programs read of tiffin's files: run by ``make readers``."""
