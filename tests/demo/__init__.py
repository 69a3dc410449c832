"""The demo: a client that knows nothing of the application plays the wallet's main job."""
