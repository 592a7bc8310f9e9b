// Why this file exists: ImageRpc moves every byte and no hole: random images with extents of any
// alignment against a plain model, the space they take, and each way an import can go wrong.
#include "services/image.h"

#include <algorithm>

#include "base/limits.h"
#include "core/scope.h"
#include "services/services_test_support.h"
#include "services/sha256.h"

namespace capstan::services {
namespace {

using node::v1::ExportImageRequest;
using node::v1::ExportImageResponse;
using node::v1::ImportImageRequest;
using node::v1::ImportImageResponse;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kImport[] = "capstan.node.v1.ImageRpc/ImportImage";
constexpr char kExport[] = "capstan.node.v1.ImageRpc/ExportImage";

std::string sha256_of(ByteView bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

class ImageTest : public ServicesTest {
 protected:
  void SetUp() override {
    start();
    ASSERT_TRUE(create_pool("p", "malloc:///m0?size_mb=100"));
    ASSERT_TRUE(create_replica("r1", "p", 24 * kMiB, true));
  }

  static ImportImageRequest header(std::uint64_t size, bool keep_rest = false) {
    ImportImageRequest out;
    out.mutable_header()->set_replica("r1");
    out.mutable_header()->set_size_bytes(size);
    out.mutable_header()->set_keep_rest(keep_rest);
    return out;
  }
  static ImportImageRequest extent(std::uint64_t offset, const std::string& data) {
    ImportImageRequest out;
    out.mutable_data()->set_offset(offset);
    out.mutable_data()->set_data(data);
    return out;
  }
  Result<ImportImageResponse> import(std::vector<ImportImageRequest> requests,
                                     bool broken = false) {
    auto out = stream<ImportImageResponse>(kImport, std::move(requests), broken);
    if (!out) return std::unexpected(std::move(out).error());
    EXPECT_EQ(out->size(), 1U);
    return out->front();
  }
  Result<std::vector<ExportImageResponse>> export_image(std::uint64_t offset = 0,
                                                        std::uint64_t length = 0) {
    ExportImageRequest request;
    request.set_replica("r1");
    request.set_offset(offset);
    request.set_length(length);
    return stream<ExportImageResponse>(kExport, std::vector<ExportImageRequest>{request});
  }
  // The exported range as plain bytes, after checking the form of the stream.
  std::vector<std::uint8_t> exported(std::uint64_t offset = 0, std::uint64_t length = 0) {
    const auto messages = export_image(offset, length);
    EXPECT_TRUE(messages) << text_of(messages);
    if (!messages || messages->size() < 2) return {};
    EXPECT_TRUE(messages->front().has_header());
    std::vector<std::uint8_t> out(messages->front().header().size_bytes());
    std::uint64_t sum = 0, end = offset;
    for (const auto& message : std::span(*messages).subspan(1, messages->size() - 2)) {
      const auto& data = message.data();
      EXPECT_GE(data.offset(), end) << "ascending, not overlapping";
      EXPECT_LE(data.data().size(), limits::kImageChunkBytes);
      std::ranges::copy(as_bytes(data.data()),
                        out.begin() + static_cast<long>(data.offset() - offset));
      end = data.offset() + data.data().size();
      sum += data.data().size();
    }
    const auto& trailer = messages->back().trailer();
    EXPECT_EQ(trailer.data_bytes(), sum);
    EXPECT_LE(sum, messages->front().header().allocated_bytes());
    EXPECT_EQ(trailer.sha256(), sha256_of(out));
    sent_ = sum;
    return out;
  }
  std::uint64_t allocated() {
    return node_->engine.find_replica_named("r1").replica->usage().allocated_bytes;
  }
  std::string noise(std::size_t size) {
    std::string out(size, '\0');
    env_.fill_random(MutableBytes(reinterpret_cast<std::uint8_t*>(out.data()), out.size()));
    return out;
  }
  std::uint64_t sent_ = 0;  // data bytes of the last export
};

TEST_F(ImageTest, RandomImagesComeBack) {
  std::vector<std::uint8_t> model(24 * kMiB, 0);
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    const bool keep = round % 3 == 2;
    const std::uint64_t size = 1 + world_.random().below(24 * kMiB);
    std::vector<std::uint8_t> image(size, 0);
    std::vector<ImportImageRequest> requests = {header(size, keep)};
    if (!keep) std::ranges::fill(model, 0);
    for (std::uint64_t at = world_.random().below(kMiB); at < size;) {
      const auto length = std::min<std::uint64_t>(size - at, 1 + world_.random().below(300'000));
      const auto data = noise(length);
      requests.push_back(extent(at, data));
      std::ranges::copy(as_bytes(data), image.begin() + static_cast<long>(at));
      std::ranges::copy(as_bytes(data), model.begin() + static_cast<long>(at));
      at += length + world_.random().below(3) * world_.random().below(6 * kMiB);
    }
    requests.front().mutable_header()->set_sha256(sha256_of(image));
    const auto imported = import(std::move(requests));
    ASSERT_TRUE(imported) << text_of(imported);
    EXPECT_EQ(imported->sha256(), sha256_of(image));
    EXPECT_EQ(imported->size_bytes(), size);
    ASSERT_EQ(exported(), model);
    const std::uint64_t offset = world_.random().below(20 * kMiB);
    const std::uint64_t length = 1 + world_.random().below(4 * kMiB);
    const auto part = exported(offset, length);
    ASSERT_TRUE(std::ranges::equal(part, std::span(model).subspan(offset, length)));
  }
}

TEST_F(ImageTest, HolesStayHoles) {
  ASSERT_TRUE(import({header(24 * kMiB), extent(9 * kMiB, noise(1000))}));
  EXPECT_EQ(allocated(), 4 * kMiB);
  exported();
  EXPECT_LE(sent_, 64U << 10) << "zeros inside of a cluster are not sent either";
  // A new image gives back what it leaves as holes, also where it ends inside of a block.
  ASSERT_TRUE(import({header(10 * kMiB + 100), extent(kMiB, noise(1000))}));
  EXPECT_EQ(allocated(), 4 * kMiB);
  ASSERT_TRUE(import({header(24 * kMiB)}));
  EXPECT_EQ(allocated(), 0U);
  EXPECT_TRUE(all_zero(exported()));
  EXPECT_EQ(sent_, 0U);
  // Zeros that a client sends are holes too.
  const auto zeros = import({header(24 * kMiB), extent(0, std::string(kMiB, '\0'))});
  ASSERT_TRUE(zeros);
  EXPECT_EQ(zeros->data_bytes(), 0U);
  EXPECT_EQ(allocated(), 0U);
}

TEST_F(ImageTest, KeepRestTouchesNothingElse) {
  const auto first = noise(kMiB), second = noise(1000);
  ASSERT_TRUE(import({header(kMiB), extent(0, first)}));
  ASSERT_TRUE(import({header(2000, true), extent(700, second)}));
  auto expected = first;
  expected.replace(700, second.size(), second);
  const auto found = exported(0, kMiB);
  EXPECT_EQ(as_text(found), expected);
}

TEST_F(ImageTest, RequestsAreChecked) {
  EXPECT_EQ(code_of(import({})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(import({extent(0, "x")})), Code::kInvalidArgument);
  auto missing = header(10);
  missing.mutable_header()->set_replica("nowhere");
  EXPECT_EQ(code_of(import({missing})), Code::kNotFound);
  EXPECT_EQ(code_of(import({header(24 * kMiB + 1)})), Code::kOutOfRange);
  auto bad_hash = header(10);
  bad_hash.mutable_header()->set_sha256("short");
  EXPECT_EQ(code_of(import({bad_hash})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(import({header(10), header(10)})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(import({header(10), ImportImageRequest()})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(import({header(10), extent(5, "abc"), extent(7, "x")})),
            Code::kInvalidArgument);
  EXPECT_EQ(code_of(import({header(10), extent(8, "abc")})), Code::kInvalidArgument);
  const auto large = std::string(limits::kImageChunkBytes + 1, 'x');
  EXPECT_EQ(code_of(import({header(24 * kMiB), extent(0, large)})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(export_image(25 * kMiB)), Code::kOutOfRange);
  EXPECT_EQ(code_of(export_image(kMiB, 24 * kMiB)), Code::kOutOfRange);
  EXPECT_EQ(exported(24 * kMiB).size(), 0U);
}

TEST_F(ImageTest, AWrongHashIsDataLoss) {
  auto wrong = header(100);
  wrong.mutable_header()->set_sha256(std::string(32, 'x'));
  EXPECT_EQ(code_of(import({wrong, extent(0, "abc")})), Code::kDataLoss);
}

TEST_F(ImageTest, ABrokenStreamSaysHowFarItGot) {
  const auto broken = import({header(5000), extent(1000, noise(24))}, true);
  EXPECT_EQ(code_of(broken), Code::kUnavailable);
  EXPECT_NE(text_of(broken).find("stopped at byte 1024 of 5000"), std::string::npos)
      << text_of(broken);
  EXPECT_FALSE(node_->engine.devices().find("r1")->claimed()) << "the claim is given back";
  EXPECT_TRUE(import({header(5000)}));
}

TEST_F(ImageTest, AReplicaInUseIsNotWritten) {
  const auto device = node_->engine.devices().find("r1");
  ASSERT_TRUE(device->claim("somebody"));
  EXPECT_EQ(code_of(import({header(10)})), Code::kFailedPrecondition);
  EXPECT_EQ(exported(0, 10).size(), 10U) << "but it can be read";
  device->release();
}

TEST_F(ImageTest, AFullPoolIsResourceExhausted) {
  const auto fill = create_replica("fill", "p", 80 * kMiB, false);
  ASSERT_TRUE(fill) << text_of(fill);
  std::vector<ImportImageRequest> requests = {header(24 * kMiB)};
  for (std::uint64_t at = 0; at < 24 * kMiB; at += kMiB)
    requests.push_back(extent(at, noise(kMiB)));
  EXPECT_EQ(code_of(import(std::move(requests))), Code::kResourceExhausted);
}

// A client that reads the header of its export and then stops.
class StuckSink final : public rpc::MessageSink {
 public:
  explicit StuckSink(core::Event& released) : released_(released) {}
  core::Task<Result<void>> send(const rpc::Message&) override {
    co_await released_.wait();
    co_return fail(Code::kCancelled, "the client is gone");
  }

 private:
  core::Event& released_;
};

struct StuckExport {
  StuckExport(core::Event& released, std::vector<ExportImageRequest> requests)
      : source(std::move(requests), false), sink(released) {}
  Requests<ExportImageRequest> source;
  StuckSink sink;
  rpc::Call call;
  Result<void> result;
};

core::Task<void> one_stuck_export(TestNode& node, StuckExport& stuck) {
  stuck.result = co_await node.directory.run(*node.directory.find(kExport), stuck.call,
                                             stuck.source, stuck.sink);
}

core::Task<void> too_many_exports(TestNode& node, std::vector<std::unique_ptr<StuckExport>>& all,
                                  core::Event& released) {
  core::Scope scope;
  for (auto& stuck : all) scope.spawn(one_stuck_export(node, *stuck));
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(node.images.exports_in_flight(), limits::kImageExportsInFlight);
  released.set();
  co_await scope.join();
  EXPECT_EQ(node.images.exports_in_flight(), 0U);
}

TEST_F(ImageTest, ExportsNobodyReadsAreBounded) {
  core::Event released;
  ExportImageRequest request;
  request.set_replica("r1");
  std::vector<std::unique_ptr<StuckExport>> all;
  for (std::size_t i = 0; i <= limits::kImageExportsInFlight; ++i) {
    all.push_back(
        std::make_unique<StuckExport>(released, std::vector<ExportImageRequest>{request}));
  }
  world_.run(too_many_exports(*node_, all, released));
  std::size_t refused = 0;
  for (const auto& stuck : all) refused += code_of(stuck->result) == Code::kResourceExhausted;
  EXPECT_EQ(refused, 1U);
  EXPECT_EQ(exported(0, 10).size(), 10U);
}

}  // namespace
}  // namespace capstan::services
