// What etcd's Lease, Maintenance and Cluster services promise.

#include <openssl/sha.h>

#include <algorithm>

#include "test/contract/client.h"

namespace contract {
namespace {

class Lease : public ContractTest {
  protected:
    static std::int64_t grant(std::int64_t ttl, std::int64_t id = 0) {
        pb::LeaseGrantRequest request;
        request.set_ttl(ttl);
        request.set_id(id);
        const auto out = call<pb::LeaseGrantResponse>("Lease/LeaseGrant", request);
        EXPECT_EQ(error_of(out), "OK");
        return out ? out->id() : 0;
    }
    static base::Result<pb::LeaseRevokeResponse> revoke(std::int64_t id) {
        pb::LeaseRevokeRequest request;
        request.set_id(id);
        return call<pb::LeaseRevokeResponse>("Lease/LeaseRevoke", request);
    }
    static pb::LeaseTimeToLiveResponse time_to_live(std::int64_t id, bool keys = false) {
        pb::LeaseTimeToLiveRequest request;
        request.set_id(id);
        request.set_keys(keys);
        const auto out = call<pb::LeaseTimeToLiveResponse>("Lease/LeaseTimeToLive", request);
        EXPECT_EQ(error_of(out), "OK");
        return out ? *out : pb::LeaseTimeToLiveResponse();
    }
    static pb::LeaseKeepAliveResponse keep_alive(std::int64_t id) {
        Stream stream("/etcdserverpb.Lease/LeaseKeepAlive");
        pb::LeaseKeepAliveRequest request;
        request.set_id(id);
        stream.send(request);
        pb::LeaseKeepAliveResponse out;
        const auto bytes = stream.next();
        EXPECT_TRUE(bytes.has_value());
        EXPECT_TRUE(out.ParseFromString(bytes.value_or("")));
        return out;
    }
};

TEST_F(Lease, ChosenIdsCountOnceAndTtlsHaveLimits) {
    EXPECT_EQ(grant(100, 4242), 4242);
    pb::LeaseGrantRequest again;
    again.set_id(4242);
    again.set_ttl(100);
    EXPECT_EQ(error_of(call<pb::LeaseGrantResponse>("Lease/LeaseGrant", again)),
              "FailedPrecondition: etcdserver: lease already exists");
    EXPECT_TRUE(revoke(4242));
    pb::LeaseGrantRequest long_one;
    long_one.set_ttl(9'000'000'001);
    EXPECT_EQ(error_of(call<pb::LeaseGrantResponse>("Lease/LeaseGrant", long_one)),
              "OutOfRange: etcdserver: too large lease TTL");
    pb::LeaseGrantRequest short_one;
    short_one.set_ttl(1);
    const auto granted = call<pb::LeaseGrantResponse>("Lease/LeaseGrant", short_one);
    EXPECT_GE(granted->ttl(), 1);
    EXPECT_NE(granted->id(), 0);
}

TEST_F(Lease, UnknownOnesAreToldByTheirTimeNotByAnError) {
    EXPECT_EQ(keep_alive(31337).ttl(), 0);
    EXPECT_EQ(time_to_live(31337).ttl(), -1);
    EXPECT_EQ(error_of(revoke(31337)), "NotFound: etcdserver: requested lease not found");
}

TEST_F(Lease, RenewedItHasItsWholeTimeAgain) {
    const auto id = grant(100);
    EXPECT_EQ(keep_alive(id).ttl(), 100);
    const auto left = time_to_live(id);
    EXPECT_EQ(left.grantedttl(), 100);
    EXPECT_GE(left.ttl(), 98);
    EXPECT_TRUE(revoke(id));
}

TEST_F(Lease, RevokedItTakesItsKeysInOrderInOneRevision) {
    const auto id = grant(100);
    put("b", "1", id);
    put("a", "1", id);
    const auto before = put("c", "1", id);
    put("kept", "1");
    EXPECT_EQ(time_to_live(id, true).keys_size(), 3);
    WatchStream w;
    w.create(prefix_, end());
    EXPECT_TRUE(w.next().created());
    const auto revoked = revoke(id);
    EXPECT_EQ(revoked->header().revision(), before + 2);
    EXPECT_EQ(names(w.next()), "-a -b -c");
    EXPECT_EQ(show(), "kept=1");
}

TEST_F(Lease, ExpiredItTakesItsKeys) {
    const auto id = grant(1);
    put("a", "1", id);
    WatchStream w;
    w.create(key("a"));
    EXPECT_TRUE(w.next().created());
    EXPECT_EQ(names(w.next(15'000)), "-a");
    EXPECT_EQ(time_to_live(id).ttl(), -1);
}

TEST_F(Lease, APutWithoutItDetachesAKey) {
    const auto id = grant(100);
    put("a", "1", id);
    put("a", "2");
    EXPECT_EQ(time_to_live(id, true).keys_size(), 0);
    EXPECT_TRUE(revoke(id));
    EXPECT_EQ(show(), "a=2");
    pb::PutRequest missing;
    missing.set_key(key("a"));
    missing.set_lease(31337);
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", missing)),
              "NotFound: etcdserver: requested lease not found");
}

TEST_F(Lease, AllAreListed) {
    const auto id = grant(100);
    const auto out = call<pb::LeaseLeasesResponse>("Lease/LeaseLeases", pb::LeaseLeasesRequest());
    ASSERT_EQ(error_of(out), "OK");
    EXPECT_TRUE(std::any_of(out->leases().begin(), out->leases().end(),
                            [&](const pb::LeaseStatus& l) { return l.id() == id; }));
    EXPECT_TRUE(revoke(id));
}

using Maintenance = ContractTest;

// kube-apiserver wants 3.5.13 or later for progress requests; etcdctl divides by the size.
TEST_F(Maintenance, StatusSaysWhatClientsLookFor) {
    put("a", "1");
    const auto out = call<pb::StatusResponse>("Maintenance/Status", pb::StatusRequest());
    ASSERT_EQ(error_of(out), "OK");
    int major = 0;
    int minor = 0;
    int patch = 0;
    EXPECT_EQ(std::sscanf(out->version().c_str(), "%d.%d.%d", &major, &minor, &patch), 3)
        << out->version();
    EXPECT_GE(major * 10000 + minor * 100 + patch, is_reference() ? 30400 : 30513);
    EXPECT_GT(out->dbsize(), 0);
    EXPECT_GT(out->dbsizeinuse(), 0);
    EXPECT_NE(out->leader(), 0U);
    EXPECT_GT(out->raftindex(), 0U);
    EXPECT_GE(out->raftindex(), out->raftappliedindex());
    EXPECT_EQ(out->header().member_id() != 0, true);
}

TEST_F(Maintenance, ASnapshotEndsWithItsHash) {
    put("a", std::string(100'000, 'x'));
    const auto blobs = call_stream("/etcdserverpb.Maintenance/Snapshot", "");
    ASSERT_EQ(error_of(blobs), "OK");
    std::string content;
    std::uint64_t before = ~0ULL;
    for (const auto& bytes : *blobs) {
        pb::SnapshotResponse r;
        ASSERT_TRUE(r.ParseFromString(bytes));
        EXPECT_LE(r.remaining_bytes(), before);
        before = r.remaining_bytes();
        content += r.blob();
    }
    EXPECT_EQ(before, 0U);
    // As etcdctl checks it.
    ASSERT_EQ(content.size() % 512, 32U);
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size() - 32, hash);
    EXPECT_EQ(content.substr(content.size() - 32),
              std::string(reinterpret_cast<const char*>(hash), 32));
}

TEST_F(Maintenance, TheHashIsOfARevision) {
    const auto first = put("a", "1");
    const auto hash_at = [](std::int64_t revision) {
        pb::HashKVRequest request;
        request.set_revision(revision);
        return call<pb::HashKVResponse>("Maintenance/HashKV", request);
    };
    const auto before = hash_at(first);
    ASSERT_EQ(error_of(before), "OK");
    put("b", "2");
    EXPECT_EQ(hash_at(first)->hash(), before->hash());
    EXPECT_NE(hash_at(0)->hash(), before->hash());
    EXPECT_EQ(error_of(hash_at(revision() + 10)),
              "OutOfRange: etcdserver: mvcc: required revision is a future revision");
}

TEST_F(Maintenance, DefragmentKeepsEverything) {
    put("a", "1");
    EXPECT_EQ(
        error_of(call<pb::DefragmentResponse>("Maintenance/Defragment", pb::DefragmentRequest())),
        "OK");
    EXPECT_EQ(show(), "a=1");
}

TEST_F(Maintenance, AlarmsComeAndGo) {
    pb::AlarmRequest request;
    request.set_action(pb::AlarmRequest::ACTIVATE);
    request.set_alarm(pb::NOSPACE);
    const auto status = call<pb::StatusResponse>("Maintenance/Status", pb::StatusRequest());
    request.set_memberid(status->header().member_id());
    EXPECT_EQ(call<pb::AlarmResponse>("Maintenance/Alarm", request)->alarms_size(), 1);
    pb::PutRequest put_request;
    put_request.set_key(key("a"));
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", put_request)),
              "ResourceExhausted: etcdserver: mvcc: database space exceeded");
    pb::LeaseGrantRequest grant;
    grant.set_ttl(100);
    EXPECT_EQ(error_of(call<pb::LeaseGrantResponse>("Lease/LeaseGrant", grant)),
              "ResourceExhausted: etcdserver: mvcc: database space exceeded");
    // Reads, deletes and compaction go on.
    EXPECT_EQ(remove("a").deleted(), 0);
    EXPECT_EQ(show(), "");
    request.set_action(pb::AlarmRequest::DEACTIVATE);
    EXPECT_EQ(error_of(call<pb::AlarmResponse>("Maintenance/Alarm", request)), "OK");
    put("a", "1");
}

using Cluster = ContractTest;

TEST_F(Cluster, RefusalsAreInEtcdsWords) {
    pb::MemberRemoveRequest unknown;
    unknown.set_id(12345);
    EXPECT_EQ(error_of(call<pb::MemberRemoveResponse>("Cluster/MemberRemove", unknown)),
              "NotFound: etcdserver: member not found");
    pb::MemberAddRequest bad;
    bad.add_peerurls("not a url");
    EXPECT_EQ(error_of(call<pb::MemberAddResponse>("Cluster/MemberAdd", bad)),
              "InvalidArgument: etcdserver: given member URLs are invalid");
    const auto list = call<pb::MemberListResponse>("Cluster/MemberList", pb::MemberListRequest());
    ASSERT_GE(list->members_size(), 1);
    EXPECT_FALSE(list->members(0).name().empty());
    EXPECT_GE(list->members(0).clienturls_size(), 1);
    pb::MemberAddRequest same;
    same.add_peerurls(list->members(0).peerurls(0));
    EXPECT_EQ(error_of(call<pb::MemberAddResponse>("Cluster/MemberAdd", same)),
              "FailedPrecondition: etcdserver: Peer URLs already exists");
    pb::MemberPromoteRequest voter;
    voter.set_id(list->members(0).id());
    EXPECT_EQ(error_of(call<pb::MemberPromoteResponse>("Cluster/MemberPromote", voter)),
              "FailedPrecondition: etcdserver: can only promote a learner member");
    pb::MoveLeaderRequest nobody;
    nobody.set_targetid(12345);
    const auto status = call<pb::StatusResponse>("Maintenance/Status", pb::StatusRequest());
    const bool leads = status->leader() == status->header().member_id();
    EXPECT_EQ(error_of(call<pb::MoveLeaderResponse>("Maintenance/MoveLeader", nobody)),
              leads ? "FailedPrecondition: etcdserver: bad leader transferee"
                    : "FailedPrecondition: etcdserver: not leader");
}

}  // namespace
}  // namespace contract
