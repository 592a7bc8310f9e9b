// Why this file exists: see hello.h. It doubles as the shortest module there is.
#include "wire/drpc/hello.h"

#include "drpc/hello.pb.h"

namespace capstan::wire::drpc {

static Answer greet(Session&, ByteView body) {
  ::hello::Hello request;
  if (auto parsed = unmarshal(body, request); !parsed) return std::unexpected(parsed.error());
  ::hello::HelloResponse response;
  response.set_greeting("Hello " + request.name());
  return marshal(response);
}

std::unique_ptr<Module> make_hello_module() {
  auto module = std::make_unique<FunctionModule>(0, "hello");
  module->add(0, "greeting", greet);
  return module;
}

}  // namespace capstan::wire::drpc
