"""The naive image and the sample fleet of the image benchmark."""
