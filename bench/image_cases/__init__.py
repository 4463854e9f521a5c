"""What the bench of images builds and measures against."""
