"""Several processes on one port: the one that was started keeps the others, and answers for all on the admin port.

The kernel spreads connections over the workers (SO_REUSEPORT). To each other workers are what pods on one store are:
nothing here knows about calls.
"""
