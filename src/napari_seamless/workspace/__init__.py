"""What a person did to an image, on disk: labels, what of them is verified, every edit, and the models it led to."""
