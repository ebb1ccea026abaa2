"""Finding strips that look alike: nearest neighbours by the features of an encoder."""
