"""Everything that runs inside an isolated place.

It is installed or copied there with the ground floor alone, so it imports the standard library,
tornado, ipykernel and floor 0, and nothing of the host.
"""
