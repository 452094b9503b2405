"""The place in a container: created, watched and removed through the engine, spoken with over its stream."""
