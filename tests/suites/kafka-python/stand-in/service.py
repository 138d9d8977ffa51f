"""Stands in for a module that the source package lacks: a broker that somebody else started."""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def close(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass

    def wait_for(self, pattern, timeout=30):
        pass


class SpawnedService:
    def __init__(self, *arguments, **options):
        raise NotImplementedError("the broker is started by the runner")
