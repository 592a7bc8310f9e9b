// Why this file exists: what each reservation command does to each type of reservation, row by row
// of nvme-tcp section 15, and the bytes of commands, reports, notifications and the file.
#include "storage/nvme/reservations.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "capstan_test_paths.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/reservation_codec.h"

namespace capstan::storage::nvme {
namespace {

namespace action = reservation_action;
using Type = ReservationType;
using Notice = ReservationNotice;
using Told = ReservationOutcome::Told;

constexpr HostId kA = {0xA}, kB = {0xB}, kC = {0xC};
constexpr std::uint64_t kKeyA = 0xA1, kKeyB = 0xB1, kKeyC = 0xC1;

std::uint8_t number(Type type) {
  return static_cast<std::uint8_t>(type);
}
Status add(Reservations& state, const HostId& host, std::uint64_t key) {
  return register_key(state, host, {.action = action::kRegister, .new_key = key}, true).status;
}
Status take(Reservations& state, const HostId& host, std::uint64_t key, Type type) {
  return acquire(state, host, {.action = action::kAcquire, .type = number(type), .key = key})
      .status;
}
ReservationOutcome preempt(Reservations& state, const HostId& host, std::uint64_t key,
                           std::uint64_t of, Type type, std::uint8_t how = action::kPreempt) {
  return acquire(state, host, {.action = how, .type = number(type), .key = key, .new_key = of});
}
ReservationOutcome leave(Reservations& state, const HostId& host, std::uint64_t key) {
  return register_key(state, host, {.action = action::kUnregister, .key = key}, true);
}
// A and B registered, A holds it.
Reservations held(Type type) {
  Reservations state;
  EXPECT_TRUE(add(state, kA, kKeyA).ok());
  EXPECT_TRUE(add(state, kB, kKeyB).ok());
  EXPECT_TRUE(take(state, kA, kKeyA, type).ok());
  return state;
}
constexpr Type kTypes[] = {Type::kWriteExclusive,
                           Type::kExclusiveAccess,
                           Type::kWriteExclusiveRegistrants,
                           Type::kExclusiveAccessRegistrants,
                           Type::kWriteExclusiveAll,
                           Type::kExclusiveAccessAll};

TEST(Reservations, WhoMayDoWhat) {
  struct Row {
    Type type;
    bool stranger_reads, stranger_writes, registrant_reads, registrant_writes;
  };
  const Row rows[] = {
      {Type::kWriteExclusive, true, false, true, false},
      {Type::kExclusiveAccess, false, false, false, false},
      {Type::kWriteExclusiveRegistrants, true, false, true, true},
      {Type::kExclusiveAccessRegistrants, false, false, true, true},
      {Type::kWriteExclusiveAll, true, false, true, true},
      {Type::kExclusiveAccessAll, false, false, true, true},
  };
  for (const Row& row : rows) {
    const Reservations state = held(row.type);
    EXPECT_TRUE(state.allows(kA, Access::kRead) && state.allows(kA, Access::kWrite));
    EXPECT_EQ(state.allows(kC, Access::kRead), row.stranger_reads) << number(row.type);
    EXPECT_EQ(state.allows(kC, Access::kWrite), row.stranger_writes) << number(row.type);
    EXPECT_EQ(state.allows(kB, Access::kRead), row.registrant_reads) << number(row.type);
    EXPECT_EQ(state.allows(kB, Access::kWrite), row.registrant_writes) << number(row.type);
    EXPECT_EQ(state.holds(kB), state.all_registrants());
  }
  Reservations none;
  EXPECT_TRUE(none.allows(kC, Access::kWrite));
}

TEST(Reservations, Register) {
  Reservations state;
  EXPECT_EQ(add(state, kA, 0), status::kInvalidField);
  EXPECT_TRUE(add(state, kA, kKeyA).ok());
  EXPECT_TRUE(add(state, kA, kKeyA).ok());
  EXPECT_EQ(add(state, kA, kKeyB), status::kReservationConflict);
  EXPECT_EQ(state.generation, 1U);
  ReservationCommand replace{.action = action::kReplace, .key = 7, .new_key = 0};
  EXPECT_EQ(register_key(state, kA, replace, true).status, status::kInvalidField);
  replace.new_key = kKeyC;
  EXPECT_EQ(register_key(state, kA, replace, true).status, status::kReservationConflict);
  EXPECT_EQ(register_key(state, kB, replace, true).status, status::kReservationConflict);
  replace.ignore_key = true;
  EXPECT_TRUE(register_key(state, kA, replace, true).status.ok());
  EXPECT_EQ(state.find(kA)->key, kKeyC);
  EXPECT_TRUE(register_key(state, kB, replace, true).status.ok());  // as Mayastor registers
  EXPECT_EQ(state.registrants.size(), 2U);
  EXPECT_EQ(register_key(state, kA, {.action = 3}, true).status, status::kInvalidField);
  EXPECT_EQ(leave(state, kC, kKeyC).status, status::kReservationConflict);
  EXPECT_EQ(leave(state, kA, 1).status, status::kReservationConflict);
  EXPECT_TRUE(leave(state, kA, kKeyC).status.ok());
  EXPECT_FALSE(state.find(kA));
}

TEST(Reservations, PersistenceNeedsAPlace) {
  Reservations state;
  const ReservationCommand wanted{.action = action::kRegister, .persist = 3, .new_key = kKeyA};
  EXPECT_EQ(register_key(state, kA, wanted, false).status, status::kInvalidField);
  EXPECT_TRUE(state.registrants.empty());
  EXPECT_TRUE(register_key(state, kA, wanted, true).status.ok());
  EXPECT_TRUE(state.persistent);
  const ReservationCommand failing{.action = action::kRegister, .persist = 2, .new_key = kKeyB};
  EXPECT_FALSE(register_key(state, kA, failing, true).status.ok());
  EXPECT_TRUE(state.persistent);  // a command that fails changes nothing
  EXPECT_EQ(register_key(state, kB, {.persist = 1, .new_key = kKeyB}, true).status,
            status::kInvalidField);
  EXPECT_TRUE(register_key(state, kB, {.persist = 2, .new_key = kKeyB}, true).status.ok());
  EXPECT_FALSE(state.persistent);
}

TEST(Reservations, TheMostRegistrants) {
  Reservations state;
  for (std::size_t i = 0; i < limits::kRegistrants; ++i) {
    EXPECT_TRUE(add(state, HostId{1, static_cast<std::uint8_t>(i)}, kKeyA).ok());
  }
  EXPECT_EQ(add(state, kA, kKeyA), status::kInternalError);
}

TEST(Reservations, Acquire) {
  for (const Type type : kTypes) {
    Reservations state = held(type);
    EXPECT_EQ(state.generation, 3U);
    EXPECT_TRUE(take(state, kA, kKeyA, type).ok());
    EXPECT_EQ(state.generation, 3U);
    const Type other = type == Type::kWriteExclusive ? Type::kExclusiveAccess : kTypes[0];
    EXPECT_EQ(take(state, kA, kKeyA, other), status::kReservationConflict);
    // All registrants hold the last two types.
    EXPECT_EQ(take(state, kB, kKeyB, type).ok(), state.all_registrants());
    EXPECT_EQ(take(state, kC, kKeyC, type), status::kReservationConflict);
  }
  Reservations state;
  EXPECT_TRUE(add(state, kA, kKeyA).ok());
  EXPECT_EQ(take(state, kA, 5, kTypes[0]), status::kReservationConflict);
  EXPECT_EQ(take(state, kB, kKeyB, kTypes[0]), status::kReservationConflict);
  EXPECT_EQ(take(state, kA, kKeyA, Type::kNone), status::kInvalidField);
  EXPECT_EQ(acquire(state, kA, {.type = 7, .key = kKeyA}).status, status::kInvalidField);
  EXPECT_EQ(acquire(state, kA, {.action = 3, .type = 1, .key = kKeyA}).status,
            status::kInvalidField);
  EXPECT_EQ(acquire(state, kA, {.ignore_key = true, .type = 1, .key = kKeyA}).status,
            status::kInvalidField);
  EXPECT_FALSE(state.held());
}

TEST(Reservations, PreemptTheHolder) {
  Reservations state = held(Type::kWriteExclusive);
  EXPECT_TRUE(add(state, kC, kKeyC).ok());
  const auto outcome =
      preempt(state, kB, kKeyB, kKeyA, Type::kExclusiveAccess, action::kPreemptAndAbort);
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(outcome.told, (std::vector<Told>{{kA, Notice::kRegistrationPreempted},
                                             {kC, Notice::kReservationReleased}}));
  EXPECT_EQ(outcome.fenced, std::vector<HostId>{kA});
  EXPECT_EQ(state.holder, kB);
  EXPECT_EQ(state.type, Type::kExclusiveAccess);
  EXPECT_FALSE(state.find(kA));
  EXPECT_TRUE(state.find(kC));
  EXPECT_EQ(preempt(state, kA, kKeyA, kKeyB, Type::kWriteExclusive).status,
            status::kReservationConflict);  // not registered any more
}

TEST(Reservations, PreemptOthers) {
  Reservations state = held(Type::kWriteExclusive);
  EXPECT_EQ(preempt(state, kA, kKeyA, 0, Type::kWriteExclusive).status,
            status::kReservationConflict);
  EXPECT_EQ(preempt(state, kA, kKeyA, 99, Type::kWriteExclusive).status,
            status::kReservationConflict);
  const auto self = preempt(state, kA, kKeyA, kKeyA, Type::kExclusiveAccess);
  EXPECT_TRUE(self.status.ok());  // only the type changes
  EXPECT_EQ(state.type, Type::kExclusiveAccess);
  EXPECT_EQ(self.told, (std::vector<Told>{{kB, Notice::kReservationReleased}}));
  const auto other = preempt(state, kA, kKeyA, kKeyB, Type::kWriteExclusive);
  EXPECT_EQ(other.told, (std::vector<Told>{{kB, Notice::kRegistrationPreempted}}));
  EXPECT_TRUE(other.fenced.empty());
  EXPECT_EQ(state.type, Type::kExclusiveAccess);  // unchanged: B did not hold it
  EXPECT_EQ(state.registrants.size(), 1U);
  Reservations free;
  EXPECT_TRUE(add(free, kA, kKeyA).ok());
  EXPECT_TRUE(add(free, kB, kKeyB).ok());
  EXPECT_TRUE(preempt(free, kA, kKeyA, kKeyB, Type::kWriteExclusive).status.ok());
  EXPECT_FALSE(free.find(kB));
  EXPECT_FALSE(free.held());
}

TEST(Reservations, PreemptAllRegistrants) {
  Reservations state = held(Type::kExclusiveAccessAll);
  EXPECT_EQ(preempt(state, kA, kKeyA, 99, Type::kWriteExclusive).status,
            status::kReservationConflict);
  EXPECT_TRUE(add(state, kC, kKeyC).ok());
  EXPECT_TRUE(preempt(state, kB, kKeyB, kKeyA, Type::kWriteExclusive).status.ok());
  EXPECT_EQ(state.type, Type::kExclusiveAccessAll);  // the holder of record went, others stay
  EXPECT_TRUE(state.holds(kC));
  const auto all = preempt(state, kB, kKeyB, 0, Type::kWriteExclusive);
  EXPECT_EQ(all.told, (std::vector<Told>{{kC, Notice::kRegistrationPreempted}}));
  EXPECT_EQ(state.type, Type::kWriteExclusive);
  EXPECT_EQ(state.holder, kB);
  EXPECT_EQ(state.registrants.size(), 1U);
}

TEST(Reservations, TheHolderUnregisters) {
  for (const Type type : kTypes) {
    Reservations state = held(type);
    const auto outcome = leave(state, kA, kKeyA);
    EXPECT_TRUE(outcome.status.ok());
    if (type >= Type::kWriteExclusiveAll) {
      EXPECT_TRUE(outcome.told.empty());
      EXPECT_EQ(state.holder, kB);
      EXPECT_TRUE(leave(state, kB, kKeyB).status.ok());
      EXPECT_FALSE(state.held());
      continue;
    }
    EXPECT_FALSE(state.held());
    const bool told = type >= Type::kWriteExclusiveRegistrants;
    EXPECT_EQ(outcome.told.size(), told ? 1U : 0U) << number(type);
  }
}

TEST(Reservations, ReleaseAndClear) {
  for (const Type type : kTypes) {
    Reservations state = held(type);
    const auto released = [&](const HostId& host, std::uint64_t key, std::uint8_t of) {
      return release(state, host, {.action = action::kRelease, .type = of, .key = key});
    };
    EXPECT_EQ(released(kC, kKeyC, number(type)).status, status::kReservationConflict);
    EXPECT_EQ(released(kA, 1, number(type)).status, status::kReservationConflict);
    EXPECT_EQ(released(kA, kKeyA, number(type) % 6 + 1).status, status::kInvalidField);
    if (!state.all_registrants()) {
      EXPECT_TRUE(released(kB, kKeyB, number(type)).status.ok());  // not its own: nothing happens
      EXPECT_TRUE(state.held());
    }
    const auto outcome = released(kA, kKeyA, number(type));
    EXPECT_TRUE(outcome.status.ok());
    EXPECT_EQ(outcome.told.size(), type >= Type::kWriteExclusiveRegistrants ? 1U : 0U);
    EXPECT_FALSE(state.held());
    EXPECT_EQ(state.registrants.size(), 2U);
  }
  Reservations state = held(Type::kWriteExclusive);
  EXPECT_EQ(release(state, kA, {.action = 2, .key = kKeyA}).status, status::kInvalidField);
  EXPECT_EQ(release(state, kA, {.ignore_key = true, .key = kKeyA}).status, status::kInvalidField);
  const auto cleared = release(state, kB, {.action = action::kClear, .key = kKeyB});
  EXPECT_EQ(cleared.told, (std::vector<Told>{{kA, Notice::kReservationPreempted}}));
  EXPECT_TRUE(state.registrants.empty());
  EXPECT_FALSE(state.held());
}

TEST(ReservationCodec, CommandsThereAndBack) {
  const ReservationCommand registration{2, true, 3, 0, 0x1122334455667788, 0x99};
  Command command;
  command.set(0, opcode::kReservationRegister);
  const auto data = store_reservation(command, registration);
  EXPECT_EQ(command.dword(10), 0xC000000AU);
  EXPECT_EQ(data.size(), 16U);
  EXPECT_EQ(data[0], 0x88);
  const auto read = load_reservation(command, data);
  EXPECT_EQ(read.action, 2);
  EXPECT_TRUE(read.ignore_key);
  EXPECT_EQ(read.persist, 3);
  EXPECT_EQ(read.key, registration.key);
  EXPECT_EQ(read.new_key, 0x99U);
  command.set(0, opcode::kReservationRelease);
  EXPECT_EQ(store_reservation(command, {.action = 1, .type = 4, .key = 5}).size(), 8U);
  EXPECT_EQ(command.dword(10), 0x401U);
}

TEST(ReservationCodec, TheReportOfTheSpecification) {
  Reservations state;
  HostId a, b;
  a.fill(0x41);
  b.fill(0x42);
  state.registrants = {{a, 0xA1}, {b, 0xBB}};
  state.type = Type::kWriteExclusive;
  state.holder = a;
  state.generation = 2;
  const std::uint16_t controllers[] = {0x3E, 0x3F};
  const auto bytes = store_reservation_status(state, controllers);
  ASSERT_EQ(bytes.size(), 192U);
  const std::vector<std::uint8_t> header = {2, 0, 0, 0, 1, 2, 0, 0, 0, 0};
  EXPECT_TRUE(std::equal(header.begin(), header.end(), bytes.begin()));
  const std::vector<std::uint8_t> first = {0x3E, 0, 1, 0, 0, 0, 0, 0, 0xA1, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(std::equal(first.begin(), first.end(), bytes.begin() + 64));
  EXPECT_EQ(bytes[80], 0x41);
  EXPECT_EQ(bytes[128], 0x3F);
  EXPECT_EQ(bytes[130], 0);
  const auto read = load_reservation_status(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, state);
  EXPECT_FALSE(load_reservation_status(ByteView(bytes).first(191)));
}

TEST(ReservationCodec, TheNotificationOfTheSpecification) {
  const auto bytes = store_notification({1, Notice::kReservationReleased, 0, 1});
  const std::vector<std::uint8_t> expected = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0};
  ASSERT_EQ(bytes.size(), 64U);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes.begin()));
  EXPECT_TRUE(all_zero(store_notification({})));
}

TEST(ReservationCodec, TheFile) {
  const Uuid device = Uuid::from_name("device");
  Reservations state = held(Type::kWriteExclusiveAll);
  state.persistent = true;
  state.registrants[0].key = UINT64_MAX;
  const std::string text = store_reservation_file(state, device);
  EXPECT_NE(text.find("\"rkey\": 18446744073709551615"), std::string::npos) << text;
  auto read = load_reservation_file(text, device);
  ASSERT_TRUE(read) << read.error().text();
  read->generation = state.generation;
  EXPECT_EQ(*read, state);
  EXPECT_EQ(load_reservation_file(text, Uuid::from_name("other")).error().code,
            Code::kFailedPrecondition);
  EXPECT_EQ(load_reservation_file(text.substr(0, text.size() / 2), device).error().code,
            Code::kInvalidArgument);
  EXPECT_FALSE(load_reservation_file(text + "x", device));
  EXPECT_FALSE(load_reservation_file("", device));
  // Another order, and a member that nobody knows.
  const std::string other = R"({"new":{"a":[1,null,"x"]},"registrants":[],"holder_uuid":")" +
                            Uuid().text() + R"(","bdev_uuid":")" + device.text() +
                            R"(","crkey":0,"rtype":0,"ptpl":true})";
  const auto empty = load_reservation_file(other, device);
  ASSERT_TRUE(empty) << empty.error().text();
  EXPECT_TRUE(empty->persistent);
}

TEST(ReservationCodec, TheExampleOfTheDocument) {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/storage/nvme/PROTOCOL.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const auto begin = page.find("```json\n"), end = page.find("```", begin + 3);
  ASSERT_NE(begin, std::string::npos);
  const std::string text = page.substr(begin + 8, end - begin - 8);
  const auto device = Uuid::parse("11111111-2222-3333-4444-555555555555");
  const auto read = load_reservation_file(text, *device);
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->registrants.size(), 2U);
  EXPECT_EQ(read->find(read->holder)->key, kKeyA);
  EXPECT_EQ(read->type, Type::kWriteExclusive);
  EXPECT_EQ(store_reservation_file(*read, *device), text);
}

TEST(ReservationCodec, AFileThatContradictsItself) {
  const Uuid device = Uuid::from_name("device");
  const auto file = [&](const std::string& type, const std::string& registrants) {
    return R"({"ptpl":true,"rtype":)" + type + R"(,"crkey":1,"bdev_uuid":")" + device.text() +
           R"(","holder_uuid":")" + Uuid{kA}.text() + R"(","registrants":[)" + registrants + "]}";
  };
  const std::string a = R"({"rkey":1,"host_uuid":")" + Uuid{kA}.text() + "\"}";
  const std::string b = R"({"rkey":1,"host_uuid":")" + Uuid{kB}.text() + "\"}";
  const std::string zero = R"({"rkey":0,"host_uuid":")" + Uuid{kA}.text() + "\"}";
  EXPECT_TRUE(load_reservation_file(file("1", a), device));
  EXPECT_FALSE(load_reservation_file(file("7", a), device));
  EXPECT_FALSE(load_reservation_file(file("1", b), device));  // the holder is not registered
  EXPECT_FALSE(load_reservation_file(file("1", a + "," + a), device));
  EXPECT_FALSE(load_reservation_file(file("0", zero), device));
  std::string many = a;
  for (std::size_t i = 0; i < limits::kRegistrants; ++i) many += "," + b;
  EXPECT_FALSE(load_reservation_file(file("0", many), device));
}

}  // namespace
}  // namespace capstan::storage::nvme
