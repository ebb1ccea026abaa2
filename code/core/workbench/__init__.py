"""The experiments folder in the browser: a local server and its pages."""
