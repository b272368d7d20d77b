"""Regular expressions of Split pre-tokenizers, compiled to tables that the device walks."""
