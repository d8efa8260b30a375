"""Places on maps: datums of Chinese map services, links that lead there, and a map drawn without any map service."""
