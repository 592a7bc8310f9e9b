// Why this file exists: declaring, binding and running every shape of handler, with an in-memory
// peer, and the checks around handlers that wires rely on.
#include "rpc/directory.h"

#include <gtest/gtest.h>

#include <deque>

#include "core/sim_env.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {
namespace {

using node::v1::Event;
using node::v1::GetVersionRequest;
using node::v1::ImportImageRequest;
using node::v1::ImportImageResponse;
using node::v1::MonitorEventsRequest;
using node::v1::Version;

constexpr const char* kVersion = "capstan.node.v1.NodeRpc/GetVersion";
constexpr const char* kEvents = "capstan.node.v1.NodeRpc/MonitorEvents";
constexpr const char* kImport = "capstan.node.v1.ImageRpc/ImportImage";
constexpr const char* kReflect = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const google::protobuf::ServiceDescriptor* node_service() {
  return Version::descriptor()->file()->FindServiceByName("NodeRpc");
}
const google::protobuf::ServiceDescriptor* image_service() {
  return ImportImageRequest::descriptor()->file()->FindServiceByName("ImageRpc");
}
const google::protobuf::ServiceDescriptor* reflection_service() {
  return grpc::reflection::v1::ServerReflectionRequest::descriptor()->file()->service(0);
}

using ReflectRequest = grpc::reflection::v1::ServerReflectionRequest;
using ReflectResponse = grpc::reflection::v1::ServerReflectionResponse;

struct Service {
  int calls = 0;
  Error error{Code::kOk, 0, {}, {}};    // answered when its code is not kOk
  core::CancelSource* fires = nullptr;  // fired with kDeadlineExceeded by the handler
  const Operation* operation_seen = nullptr;

  core::Task<Result<Version>> version(Call& call, const GetVersionRequest&) {
    ++calls;
    operation_seen = call.operation;
    if (fires) fires->fire(Code::kDeadlineExceeded);
    if (error.code != Code::kOk) co_return std::unexpected(error);
    Version answer;
    answer.set_version("v1");
    co_return answer;
  }
  core::Task<Result<void>> version_in_place(Call&, const GetVersionRequest&, Version& answer) {
    ++calls;
    if (error.code != Code::kOk) co_return std::unexpected(error);
    answer.set_version("v2");
    co_return Result<void>();
  }
  core::Task<Result<void>> events(Call&, const MonitorEventsRequest& request, Sink<Event> sink) {
    ++calls;
    for (const auto& category : request.categories()) {
      Event event;
      event.set_category(category);
      CO_TRY(co_await sink.send(event));
    }
    co_return Result<void>();
  }
  core::Task<Result<ImportImageResponse>> import(Call&, Source<ImportImageRequest> source) {
    ++calls;
    ImportImageResponse answer;
    ImportImageRequest request;
    while (true) {
      CO_TRY_SET(const bool more, co_await source.next(request));
      if (!more) break;
      answer.set_data_bytes(answer.data_bytes() + request.data().data().size());
    }
    co_return answer;
  }
  core::Task<Result<void>> reflect(Call&, Source<ReflectRequest> source,
                                   Sink<ReflectResponse> sink) {
    ++calls;
    ReflectRequest request;
    while (true) {
      CO_TRY_SET(const bool more, co_await source.next(request));
      if (!more) co_return Result<void>();
      ReflectResponse answer;
      answer.set_valid_host(request.host());
      CO_TRY(co_await sink.send(answer));
    }
  }
};

template <class Request>
class Requests final : public MessageSource {
 public:
  explicit Requests(std::deque<Request> requests) : requests_(std::move(requests)) {}
  core::Task<Result<bool>> next(Message& into) override {
    if (requests_.empty()) co_return broken ? Result<bool>(broken_error()) : Result<bool>(false);
    into.CopyFrom(requests_.front());
    requests_.pop_front();
    co_return true;
  }
  bool broken = false;

 private:
  static std::unexpected<Error> broken_error() { return fail(Code::kUnavailable, "peer left"); }
  std::deque<Request> requests_;
};

struct Answers final : MessageSink {
  std::vector<std::string> texts;
  std::size_t room = 100;
  core::Task<Result<void>> send(const Message& message) override {
    if (texts.size() >= room) co_return fail(Code::kCancelled, "client gone");
    texts.push_back(message.ShortDebugString());
    co_return Result<void>();
  }
};

class DirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(directory_.declare(node_service(), {"GetHealth", "DescribeOperations", "GetConfig",
                                                    "GetMetrics", "SetLogging"}));
    ASSERT_TRUE(directory_.declare(image_service(), {"ExportImage"}));
    ASSERT_TRUE(directory_.declare(reflection_service()));
  }
  void bind_all() {
    ASSERT_TRUE(bind_unary(directory_, kVersion, service_, &Service::version));
    ASSERT_TRUE(bind_server_stream(directory_, kEvents, service_, &Service::events));
    ASSERT_TRUE(bind_client_stream(directory_, kImport, service_, &Service::import));
    ASSERT_TRUE(bind_bidirectional(directory_, kReflect, service_, &Service::reflect));
  }
  Result<void> run(core::Task<Result<void>> task) {
    Result<void> result = fail(Code::kInternal, "did not run");
    world_.run(keep(std::move(task), result));
    return result;
  }
  static core::Task<void> keep(core::Task<Result<void>> task, Result<void>& into) {
    into = co_await std::move(task);
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  Service service_;
  Directory directory_;
};

TEST_F(DirectoryTest, IsCompleteOnceEverythingIsBound) {
  const auto incomplete = directory_.check_complete();
  ASSERT_FALSE(incomplete);
  for (const char* name : {kVersion, kEvents, kImport, kReflect}) {
    EXPECT_NE(incomplete.error().message.find(name), std::string::npos) << name;
    EXPECT_EQ(directory_.find(name), nullptr);
  }
  EXPECT_EQ(incomplete.error().message.find("GetHealth"), std::string::npos);
  bind_all();
  EXPECT_TRUE(directory_.check_complete());
  ASSERT_EQ(directory_.operations().size(), 4U);
  EXPECT_EQ(directory_.operations()[0]->full_name(), kImport);
  EXPECT_EQ(directory_.services().size(), 3U);
  ASSERT_NE(directory_.find(kVersion), nullptr);
  EXPECT_EQ(directory_.find(kVersion)->new_response()->GetDescriptor(), Version::descriptor());
}

TEST_F(DirectoryTest, WrongDeclarationsAreRefused) {
  EXPECT_EQ(directory_.declare(node_service()).error().code, Code::kAlreadyExists);
  Directory other;
  const auto unknown = other.declare(image_service(), {"NoSuchMethod"});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("NoSuchMethod"), std::string::npos);
}

TEST_F(DirectoryTest, WrongBindingsAreRefused) {
  EXPECT_EQ(bind_unary(directory_, "a.B/C", service_, &Service::version).error().code,
            Code::kNotFound);
  EXPECT_EQ(bind_unary(directory_, "capstan.node.v1.NodeRpc/GetHealth", service_, &Service::version)
                .error()
                .code,
            Code::kNotFound);  // declared absent
  EXPECT_EQ(bind_unary(directory_, kEvents, service_, &Service::version).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(bind_client_stream(directory_, kReflect, service_, &Service::import).error().code,
            Code::kInvalidArgument);
  Directory images;
  ASSERT_TRUE(images.declare(image_service()));
  const auto types = bind_server_stream(images, "capstan.node.v1.ImageRpc/ExportImage", service_,
                                        &Service::events);
  ASSERT_FALSE(types);
  EXPECT_NE(types.error().message.find("capstan.node.v1.MonitorEventsRequest"), std::string::npos);
  EXPECT_TRUE(bind_unary(directory_, kVersion, service_, &Service::version));
  EXPECT_EQ(bind_unary(directory_, kVersion, service_, &Service::version).error().code,
            Code::kAlreadyExists);
}

TEST_F(DirectoryTest, SaysWhyAnOperationIsMissing) {
  bind_all();
  const auto text = [&](const char* name) {
    EXPECT_EQ(directory_.why_missing(name).code, Code::kUnimplemented);
    return directory_.why_missing(name).message;
  };
  EXPECT_EQ(text("a.B/C"),
            "unknown service 'a.B'; this node serves: capstan.node.v1.ImageRpc "
            "capstan.node.v1.NodeRpc grpc.reflection.v1.ServerReflection");
  EXPECT_EQ(text("capstan.node.v1.ImageRpc/Copy"),
            "service 'capstan.node.v1.ImageRpc' has no method 'Copy'; it has: ImportImage "
            "ExportImage");
  EXPECT_EQ(text("capstan.node.v1.ImageRpc/ExportImage"),
            "operation 'capstan.node.v1.ImageRpc/ExportImage' is not served by this node");
  EXPECT_EQ(text("nonsense"), "'nonsense' is not of the form package.Service/Method");
}

TEST_F(DirectoryTest, RunsUnaryCalls) {
  bind_all();
  const auto& entry = *directory_.find(kVersion);
  Call call;
  Version answer;
  ASSERT_TRUE(run(directory_.run(entry, call, GetVersionRequest(), answer)));
  EXPECT_EQ(answer.version(), "v1");
  EXPECT_EQ(service_.operation_seen, &entry.operation);
  service_.error = {Code::kNotFound, 0, "nothing here", {}};
  EXPECT_EQ(run(directory_.run(entry, call, GetVersionRequest(), answer)).error().message,
            "nothing here");
}

TEST_F(DirectoryTest, RunsHandlersThatFillTheAnswer) {
  EXPECT_EQ(bind_unary(directory_, kEvents, service_, &Service::version_in_place).error().code,
            Code::kInvalidArgument);
  ASSERT_TRUE(bind_unary(directory_, kVersion, service_, &Service::version_in_place));
  const auto& entry = *directory_.find(kVersion);
  Call call;
  Version answer;
  ASSERT_TRUE(run(directory_.run(entry, call, GetVersionRequest(), answer)));
  EXPECT_EQ(answer.version(), "v2");
  Requests<GetVersionRequest> one({GetVersionRequest()});
  Answers answers;
  ASSERT_TRUE(run(directory_.run(entry, call, one, answers)));
  EXPECT_EQ(answers.texts, std::vector<std::string>{"version: \"v2\""});
  service_.error = {Code::kNotFound, 0, "nothing here", {}};
  EXPECT_EQ(run(directory_.run(entry, call, GetVersionRequest(), answer)).error().message,
            "nothing here");
}

TEST_F(DirectoryTest, RunsUnaryCallsAsStreams) {
  bind_all();
  const auto& entry = *directory_.find(kVersion);
  Call call;
  Requests<GetVersionRequest> one({GetVersionRequest()});
  Answers answers;
  ASSERT_TRUE(run(directory_.run(entry, call, one, answers)));
  EXPECT_EQ(answers.texts, std::vector<std::string>{"version: \"v1\""});
  const auto empty = run(directory_.run(entry, call, one, answers));
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Code::kUnimplemented);
  one.broken = true;
  EXPECT_EQ(run(directory_.run(entry, call, one, answers)).error().message, "peer left");
  EXPECT_EQ(service_.calls, 1);
}

TEST_F(DirectoryTest, RunsServerStreams) {
  bind_all();
  const auto& entry = *directory_.find(kEvents);
  MonitorEventsRequest request;
  request.add_categories("pool");
  request.add_categories("node");
  Call call;
  Answers answers;
  Requests<MonitorEventsRequest> requests({request, request});
  ASSERT_TRUE(run(directory_.run(entry, call, requests, answers)));
  EXPECT_EQ(answers.texts, (std::vector<std::string>{"category: \"pool\"", "category: \"node\""}));
  answers.room = 3;
  EXPECT_EQ(run(directory_.run(entry, call, requests, answers)).error().code, Code::kCancelled);
  EXPECT_EQ(run(directory_.run(entry, call, requests, answers)).error().code, Code::kUnimplemented);
}

TEST_F(DirectoryTest, RunsClientAndBidirectionalStreams) {
  bind_all();
  ImportImageRequest part;
  part.mutable_data()->set_data("12345");
  Call call;
  Answers answers;
  Requests<ImportImageRequest> parts({part, part});
  ASSERT_TRUE(run(directory_.run(*directory_.find(kImport), call, parts, answers)));
  EXPECT_EQ(answers.texts.back(), "data_bytes: 10");
  ReflectRequest hello;
  hello.set_host("h");
  Requests<ReflectRequest> hellos({hello, hello, hello});
  ASSERT_TRUE(run(directory_.run(*directory_.find(kReflect), call, hellos, answers)));
  EXPECT_EQ(answers.texts.size(), 4U);
  EXPECT_EQ(answers.texts.back(), "valid_host: \"h\"");
}

TEST_F(DirectoryTest, ACancelledCallDoesNotReachItsHandler) {
  bind_all();
  core::CancelSource source;
  Call call;
  call.token = source.token();
  source.fire();
  Version answer;
  const auto result =
      run(directory_.run(*directory_.find(kVersion), call, GetVersionRequest(), answer));
  EXPECT_EQ(result.error().code, Code::kCancelled);
  EXPECT_EQ(service_.calls, 0);
}

TEST_F(DirectoryTest, WhoeverEndsAfterTheDeadlineIsLate) {
  bind_all();
  Version answer;
  for (const Code code : {Code::kOk, Code::kNotFound, Code::kDeadlineExceeded}) {
    core::CancelSource source;
    Call call;
    call.token = source.token();
    service_.fires = &source;
    service_.error = {code, 0, "the handler's own", {}};
    const auto result =
        run(directory_.run(*directory_.find(kVersion), call, GetVersionRequest(), answer));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
    EXPECT_EQ(result.error().message, code == Code::kOk ? "deadline exceeded"
                                      : code == Code::kNotFound
                                          ? "deadline exceeded (the handler's own)"
                                          : "the handler's own");
  }
  EXPECT_EQ(service_.calls, 3);
}

class Note final : public Interceptor {
 public:
  Note(Place place, std::string& notes, bool refuses = false)
      : place_(place), notes_(notes), refuses_(refuses) {}
  Place place() const override { return place_; }
  core::Task<Result<void>> around(Call& call, Next& next) override {
    const char digit = static_cast<char>('0' + static_cast<int>(place_));
    notes_ += digit;
    if (refuses_) co_return fail(Code::kPermissionDenied, "no");
    auto result = co_await next.run(call);
    notes_ += digit;
    co_return result;
  }

 private:
  Place place_;
  std::string& notes_;
  bool refuses_;
};

TEST_F(DirectoryTest, InterceptorsRunInOrderAndMayRefuse) {
  bind_all();
  std::string notes;
  directory_.add_interceptor(std::make_unique<Note>(Place::kLog, notes));
  directory_.add_interceptor(std::make_unique<Note>(Place::kMetrics, notes));
  Call call;
  Version answer;
  const auto& entry = *directory_.find(kVersion);
  ASSERT_TRUE(run(directory_.run(entry, call, GetVersionRequest(), answer)));
  EXPECT_EQ(notes, "0220");
  notes.clear();
  directory_.add_interceptor(std::make_unique<Note>(Place::kAccess, notes, true));
  EXPECT_EQ(run(directory_.run(entry, call, GetVersionRequest(), answer)).error().code,
            Code::kPermissionDenied);
  EXPECT_EQ(notes, "02420");
  EXPECT_EQ(service_.calls, 1);
}

TEST_F(DirectoryTest, InterceptorsAreAddedInOrder) {
  std::string notes;
  directory_.add_interceptor(std::make_unique<Note>(Place::kMetrics, notes));
  EXPECT_DEATH(directory_.add_interceptor(std::make_unique<Note>(Place::kLog, notes)), "place");
  EXPECT_DEATH(directory_.add_interceptor(std::make_unique<Note>(Place::kMetrics, notes)), "place");
}

TEST(Metadata, FindsTheFirstValue) {
  Metadata metadata;
  metadata.request = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
  EXPECT_EQ(metadata.get("a"), "1");
  EXPECT_EQ(metadata.get("c"), "");
}

}  // namespace
}  // namespace capstan::rpc
