// Why this file exists: the `capstan bdev` commands over mayastor.v1.BdevRpc: arguments become
// messages, answers become tables. What they mean is decided by the node.
#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "bdev.pb.h"

namespace capstan::apps {
namespace v1 = ::mayastor::v1;

Done bdev_create(Session& session, Arguments arguments) {
  v1::CreateBdevRequest request;
  request.set_uri(arguments.text("URI"));
  CO_TRY_SET(const v1::CreateBdevResponse answer,
             co_await session.call<v1::CreateBdevResponse>("mayastor.v1.BdevRpc/Create", request));
  if (session.out().json()) co_return session.out().message(answer);
  session.out().line(answer.bdev().name());
  co_return Result<void>();
}

namespace {

// The URI that a device was created with, for a device known by name.
core::Task<Result<std::string>> find_uri(Session& session, std::string text) {
  if (text.find(":/") != std::string::npos) co_return text;
  v1::ListBdevOptions request;
  request.mutable_name()->set_value(text);
  CO_TRY_SET(const v1::ListBdevResponse answer,
             co_await session.call<v1::ListBdevResponse>("mayastor.v1.BdevRpc/List", request));
  if (answer.bdevs().empty()) {
    co_return fail(Code::kNotFound,
                   "bdev '" + text + "' not found; 'capstan bdev list' shows what there is");
  }
  if (answer.bdevs(0).uri().empty()) {
    co_return fail(Code::kFailedPrecondition,
                   "'" + text +
                       "' was not created as a bdev but is a replica: use 'capstan "
                       "replica destroy'");
  }
  co_return answer.bdevs(0).uri();
}

}  // namespace

Done bdev_destroy(Session& session, Arguments arguments) {
  v1::DestroyBdevRequest request;
  CO_TRY_SET(*request.mutable_uri(), co_await find_uri(session, arguments.text("BDEV")));
  CO_TRY(co_await session.order("mayastor.v1.BdevRpc/Destroy", request));
  session.done("bdev: " + arguments.text("BDEV") + " is removed");
  co_return Result<void>();
}

Done bdev_list(Session& session, Arguments arguments) {
  v1::ListBdevOptions request;
  if (arguments.given("NAME")) request.mutable_name()->set_value(arguments.text("NAME"));
  CO_TRY_SET(const v1::ListBdevResponse answer,
             co_await session.call<v1::ListBdevResponse>("mayastor.v1.BdevRpc/List", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"NAME", "UUID", ">BLOCKS", ">BLOCK", ">CAPACITY", "CLAIMED_BY", "PRODUCT", "URI"});
  for (const v1::Bdev& bdev : answer.bdevs()) {
    table.add({bdev.name(), bdev.uuid(), std::to_string(bdev.num_blocks()),
               std::to_string(bdev.blk_size()), out.size(bdev.num_blocks() * bdev.blk_size()),
               bdev.claimed() ? bdev.claimed_by() : "", bdev.product_name(), bdev.uri()});
  }
  out.table(table, "bdevs");
  co_return Result<void>();
}

}  // namespace capstan::apps
