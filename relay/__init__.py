"""`hubble-relay`: the flows of all nodes of a cluster in one stream, in the order of time.

    peer service ──► nodes/ (who is there, a connection each)
                        │ one stream a node: collect ──► times ──► merge ──► session ──► client
    observer_service, status_service: what clients may ask        app: everything put together

It stands on `api` alone: flows pass through as bytes, and nothing here knows what is in them.
"""
