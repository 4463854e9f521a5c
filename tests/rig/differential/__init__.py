"""The same small programs of sockets with contexts of their own, and with what a refit makes of them."""
