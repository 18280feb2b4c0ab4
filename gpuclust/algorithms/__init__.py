"""Pure loops over an Engine and a Source: nothing here knows the device or the storage."""
