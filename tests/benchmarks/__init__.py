"""What statekeep costs, side by side with others: `make bench`."""
