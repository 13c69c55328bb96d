"""A loopback fake of every vendor: recorders whose timeline can be asked, and faults that can be switched on."""
