"""Several files, each analyzed where a worker of a Dask cluster is; only their results come back."""
