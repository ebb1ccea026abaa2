"""Every image and every row of a data set, checked before an hour is spent on it."""
