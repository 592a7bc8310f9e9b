// Why this file exists: see revision.h.
#include "rpc/interceptors/revision.h"

#include "rpc/operation.h"

namespace capstan::rpc {

core::Task<Result<void>> RevisionInterceptor::change(Call& call, Next& next) {
  auto result = co_await next.run(call);
  if (!result) co_return result;
  if (std::string newest = newest_(); !newest.empty()) {
    call.metadata.initial.emplace_back(kRevisionKey, std::move(newest));
  }
  co_return result;
}

core::Task<Result<void>> RevisionInterceptor::around(Call& call, Next& next) {
  const Operation& operation = *call.operation;
  if (operation.access != Access::kWrite || operation.kind != Kind::kUnary) return next.run(call);
  return change(call, next);
}

}  // namespace capstan::rpc
