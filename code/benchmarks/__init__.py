"""Our way of doing a job compared with the plain way, which is written out here."""
