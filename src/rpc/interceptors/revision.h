// Why this file exists: whoever changes something and then reads a copy of the node's state (a
// gateway's) must be able to ask for a copy that has the change. So the answer to a successful call
// of class WRITE says, as metadata "x-rev" in front of it, up to which revision of the state it
// goes: "<epoch>-<rev>" (http-rpc section 20.6), the epoch being that of this start of the node.
// Nobody keeps a copy: nothing is said. Thread-safety: as the directory's interceptors.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "rpc/interceptor.h"

namespace capstan::rpc {

inline constexpr char kRevisionKey[] = "x-rev";

class RevisionInterceptor final : public Interceptor {
 public:
  // The newest revision, with everything in it that has happened; empty: nobody keeps a copy.
  using Newest = std::function<std::string()>;
  explicit RevisionInterceptor(Newest newest) : newest_(std::move(newest)) {}
  Place place() const override { return Place::kRevision; }
  core::Task<Result<void>> around(Call& call, Next& next) override;

 private:
  core::Task<Result<void>> change(Call& call, Next& next);

  Newest newest_;
};

}  // namespace capstan::rpc
