"""A plugin for the pytest that runs moto's own tests, in moto's own environment: DynamoDB is ours, everything else moto's.

In moto's server mode every client of every service is sent to one URL, that of our endpoint. The tests use a few other
services beside DynamoDB (STS for the number of the account, S3 for buckets): their clients are sent to a server of moto in
this process.
"""

from __future__ import annotations

import boto3
from moto.server import ThreadedMotoServer

_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)


def _elsewhere(make):
    def made(service_name, *args, **kwargs):
        if service_name != "dynamodb" and kwargs.get("endpoint_url"):
            host, port = _server.get_host_and_port()
            kwargs["endpoint_url"] = f"http://{host}:{port}"
        return make(service_name, *args, **kwargs)

    return made


def pytest_configure(config):
    """Before any test is imported."""
    _server.start()
    boto3.client, boto3.resource = _elsewhere(boto3.client), _elsewhere(boto3.resource)


def pytest_unconfigure(config):
    """After the last test."""
    _server.stop()
