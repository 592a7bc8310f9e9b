// Why this file exists: a log is read by more people than the answer of a call, and kept for
// longer. An Error's text was made for the caller: it quotes what the caller sent, which may be a
// value, a password in a URI, a query. What a log record says of an error is made here, and holds
// the node's own words only. Thread-safety: functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "base/result.h"

namespace capstan::rpc {

class Operation;

// The error's text without what it quotes: from the first quotation mark to the last, and every
// word that is a URI, stands an ellipsis. Of INVALID_ARGUMENT and OUT_OF_RANGE, which are about
// what was sent and nothing else, only that the answer has it. Bounded, valid UTF-8.
std::string log_text(const Error& error);

// The objects that a call of `operation` is about, by the arguments of its HTTP paths that name
// some
// ("pool_id", "replica_id"; never keys and values): "p1", "p1/r1". Empty when the request names
// none, or with texts that are no plain names.
std::string log_object(const Operation& operation, const google::protobuf::Message& request);

}  // namespace capstan::rpc
