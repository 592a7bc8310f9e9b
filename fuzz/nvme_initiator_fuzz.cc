// Why this file exists: the initiator under any bytes that a target may send, in simulation. The
// target behaves until the controller runs, then every request is answered with the input's bytes.
// Whatever they are, each request ends, nothing is believed that did not arrive, and the connection
// is closed in the end.
#include <algorithm>
#include <vector>

#include "base/assert.h"
#include "core/sim_env.h"
#include "storage/nvme/initiator_queue.h"

namespace {

using namespace capstan;
using namespace capstan::storage::nvme;

class Owner final : public HostQueue::Owner {
 public:
  void queue_ended(HostQueue&) override {}
  bool timed_out(HostQueue&, HostCall&) override { return false; }
};

// The answer to ICReq, then the input, then silence until the host goes.
core::Task<void> serve(core::StreamListener* listener, Digests digests, ByteView input) {
  const auto stream = co_await listener->accept();
  if (!stream) co_return;
  std::vector<std::uint8_t> bytes(kIcBytes);
  std::size_t got = 0;
  while (got < kIcBytes) {
    const auto more = co_await (*stream)->read(MutableBytes(bytes).subspan(got));
    if (!more || *more == 0) co_return;
    got += *more;
  }
  store_ic_resp(bytes.data(), {0, 0, digests, 4096});
  bytes.insert(bytes.end(), input.begin(), input.end());
  if (!co_await (*stream)->write(bytes)) co_return;
  while (true) {
    const auto more = co_await (*stream)->read(bytes);
    if (!more || *more == 0) co_return;
  }
}

core::Task<void> ask(HostQueue* queue, bool write, std::size_t size) {
  std::vector<std::uint8_t> memory(size, 0xA5);
  HostCall call;
  call.command.set(0, write ? opcode::kWrite : opcode::kRead);
  if (write) {
    call.out = memory;
  } else {
    call.in = memory;
  }
  const auto outcome = co_await queue->call(call);
  CAPSTAN_ASSERT(outcome != HostCall::Outcome::kPending);
}

core::Task<void> story(core::SimEnv* node, core::SimEnv* host, Digests digests, ByteView input) {
  const auto address = core::Address::tcp(node->address(), 8420);
  auto listener = node->network().core::Network::listen(address);
  CAPSTAN_ASSERT(listener);
  core::Scope scope;
  scope.spawn(serve(listener->get(), digests, input));
  Owner owner;
  auto queue = co_await HostQueue::open(
      *host, address,
      {.digests = digests, .entries = 8, .in_capsule_bytes = 8192, .timeout = core::kSecond}, owner,
      {});
  if (queue) {
    core::Scope requests;
    for (const std::size_t size : {512U, 4096U, 65536U}) {
      requests.spawn(ask(queue->get(), false, size));
      requests.spawn(ask(queue->get(), true, size));
    }
    co_await requests.join();
    co_await (*queue)->stop();
    queue->reset();
  }
  (*listener)->cancel();
  co_await scope.join();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Digests digests{(data[0] & 1) != 0, (data[0] & 2) != 0};
  core::SimWorld world(data[0]);
  core::SimEnv node(world), host(world);
  world.run(story(&node, &host, digests, ByteView(data, size).subspan(1)));
  return 0;
}
