"""The official gRPC client (grpcio), knowing nothing of the node but what its reflection says.

Only the reflection and health messages come from the tree (through protoc); every other descriptor
is asked from the server, so a wrong descriptor breaks the tests that use it.
"""
import functools
import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from node import ROOT


@functools.lru_cache(maxsize=None)
def _local_pool():
    protos = ['grpc/reflection/v1/reflection.proto', 'grpc/reflection/v1alpha/reflection.proto',
              'grpc/health/v1/health.proto']
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(['protoc', '-I.', '--include_imports', f'--descriptor_set_out={out.name}',
                        *protos], cwd=os.path.join(ROOT, 'api'), check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def _message(pool, name):
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[
            ('grpc.max_receive_message_length', 64 << 20)])
        grpc.channel_ready_future(self.channel).result(timeout=30)
        self.pool = descriptor_pool.DescriptorPool()
        self.known = set()

    def close(self):
        self.channel.close()

    # --- reflection and health ---
    def reflect(self, version='v1', **request):
        """One reflection request and its answer."""
        package = f'grpc.reflection.{version}'
        kind = _message(_local_pool(), f'{package}.ServerReflectionRequest')
        answer = _message(_local_pool(), f'{package}.ServerReflectionResponse')
        call = self.channel.stream_stream(
            f'/{package}.ServerReflection/ServerReflectionInfo',
            request_serializer=kind.SerializeToString, response_deserializer=answer.FromString)
        return next(iter(call(iter([kind(**request)]), timeout=30)))

    def services(self, version='v1'):
        found = self.reflect(version, list_services='*').list_services_response.service
        return {s.name for s in found}

    def health(self, service=''):
        kind = _message(_local_pool(), 'grpc.health.v1.HealthCheckRequest')
        answer = _message(_local_pool(), 'grpc.health.v1.HealthCheckResponse')
        call = self.channel.unary_unary('/grpc.health.v1.Health/Check',
                                        request_serializer=kind.SerializeToString,
                                        response_deserializer=answer.FromString)
        return call(kind(service=service), timeout=30)

    def _learn(self, answer):
        if answer.HasField('error_response'):
            raise KeyError(answer.error_response.error_message)
        files = [descriptor_pb2.FileDescriptorProto.FromString(raw)
                 for raw in answer.file_descriptor_response.file_descriptor_proto]
        by_name = {f.name: f for f in files}

        def add(file):
            if file.name in self.known:
                return
            self.known.add(file.name)
            for name in file.dependency:
                if name in by_name:
                    add(by_name[name])
                elif name not in self.known:
                    self._learn(self.reflect(file_by_filename=name))
            self.pool.Add(file)
        for file in files:
            add(file)

    def service(self, name):
        try:
            return self.pool.FindServiceByName(name)
        except KeyError:
            self._learn(self.reflect(file_containing_symbol=name))
            return self.pool.FindServiceByName(name)

    # --- calls ---
    def method(self, full_name):
        service, name = full_name.split('/')
        return self.service(service).methods_by_name[name]

    def request(self, full_name, fields):
        kind = _message(self.pool, self.method(full_name).input_type.full_name)
        return json_format.ParseDict(fields, kind(), descriptor_pool=self.pool)

    def rpc(self, full_name, shape='unary_unary'):
        method = self.method(full_name)
        kind = _message(self.pool, method.input_type.full_name)
        answer = _message(self.pool, method.output_type.full_name)
        return getattr(self.channel, shape)('/' + full_name,
                                            request_serializer=kind.SerializeToString,
                                            response_deserializer=answer.FromString)

    def call(self, full_name, fields=None, **options):
        """A unary call; fields as in proto3 JSON, but with the names of the .proto."""
        request = self.request(full_name, fields or {})
        return self.rpc(full_name)(request, timeout=30, **options)

    def refusal(self, full_name, fields=None, **options):
        """The error of a unary call that must fail."""
        try:
            answer = self.call(full_name, fields, **options)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f'{full_name} {fields} answered OK: {answer}')
