// The npm package etcd3 on the store; etcd3_test.py runs it: node etcd3_client.js PACKAGE ENDPOINT…. A line for each check.
'use strict';
const assert = require('assert');
const [, , place, ...hosts] = process.argv;
const { Etcd3, EtcdPermissionDeniedError, EtcdAuthenticationFailedError, EtcdLockFailedError, STMConflictError, Range } = require(place);

const client = new Etcd3({ hosts });
const open = [client];
const later = (emitter, event) => new Promise((done) => emitter.once(event, (...args) => done(args)));

const tests = {
  async values_and_ranges() {
    await client.put('v/a').value('1');
    await client.put('v/b').value(2);
    await client.put('v/c').value(Buffer.from([0, 255, 1]));
    assert.strictEqual(await client.get('v/a').string(), '1');
    assert.strictEqual(await client.get('v/b').number(), 2);
    assert.deepStrictEqual(await client.get('v/c').buffer(), Buffer.from([0, 255, 1]));
    assert.strictEqual(await client.get('v/none').string(), null);
    assert.deepStrictEqual(await client.getAll().prefix('v/').keys(), ['v/a', 'v/b', 'v/c']);
    assert.deepStrictEqual(await client.getAll().prefix('v/').sort('Key', 'Descend').limit(2).keys(), ['v/c', 'v/b']);
    assert.strictEqual(await client.getAll().prefix('v/').count(), 3);
    const previous = await client.put('v/a').value('9').getPrevious();
    assert.strictEqual(previous.value.toString(), '1');
    const old = await client.get('v/a').revision(previous.mod_revision).string();
    assert.strictEqual(old, '1');
    assert.deepStrictEqual(await client.getAll().inRange(new Range('v/a', 'v/c')).keys(), ['v/a', 'v/b']);
    assert.strictEqual((await client.delete().prefix('v/')).deleted, '3');
  },

  async namespaces() {
    const one = client.namespace('one/');
    const inner = one.namespace('inner/');
    await inner.put('k').value('x');
    assert.strictEqual(await client.get('one/inner/k').string(), 'x');
    assert.deepStrictEqual(await one.getAll().keys(), ['inner/k']);
    await one.delete().all();
    assert.strictEqual(await client.get('one/inner/k').string(), null);
  },

  async transactions() {
    await client.put('t').value('1');
    const yes = await client.if('t', 'Value', '==', '1').and('none', 'Create', '==', 0)
      .then(client.put('t').value('2'), client.get('t')).else(client.delete().key('t')).commit();
    assert.strictEqual(yes.succeeded, true);
    assert.strictEqual(yes.responses[1].response_range.kvs[0].value.toString(), '2');
    const no = await client.if('t', 'Version', '>', 100).then(client.delete().key('t')).else(client.get('t')).commit();
    assert.strictEqual(no.succeeded, false);
  },

  async software_transactions_do_not_lose_updates() {
    await client.put('counter').value(0);
    await Promise.all(Array.from({ length: 10 }, () => client.stm({ retries: 50 }).transact(async (tx) => {
      const n = await tx.get('counter').number();
      await tx.put('counter').value(n + 1);
    })));
    assert.strictEqual(await client.get('counter').number(), 10);
    await assert.rejects(client.stm({ retries: 0 }).transact(async (tx) => {
      await tx.get('counter').number();
      await client.put('counter').value(99);
      await tx.put('counter').value(1);
    }), STMConflictError);
  },

  async leases() {
    const lease = client.lease(10);
    await lease.put('leased').value('x');
    assert.strictEqual((await lease.keepaliveOnce()).TTL, '10');
    await later(lease, 'keepaliveSucceeded');
    assert.strictEqual(await client.get('leased').string(), 'x');
    await lease.revoke();
    assert.strictEqual(await client.get('leased').string(), null);
    assert.strictEqual(lease.revoked(), true);
    const lost = client.lease(10);
    const id = await lost.grant();
    const told = later(lost, 'lost');
    await client.leaseClient.leaseRevoke({ ID: id });
    await told;
  },

  async watches() {
    const watcher = await client.watch().prefix('w/').withPreviousKV().create();
    const first = later(watcher, 'put');
    await client.put('w/a').value('1');
    assert.strictEqual((await first)[0].value.toString(), '1');
    const second = later(watcher, 'put');
    await client.put('w/a').value('2');
    const [now, before] = await second;
    assert.deepStrictEqual([now.value.toString(), before.value.toString()], ['2', '1']);
    const gone = later(watcher, 'delete');
    await client.delete().key('w/a');
    assert.strictEqual((await gone)[1].value.toString(), '2');
    const past = await client.watch().prefix('w/').only('delete').startRevision(now.mod_revision).create();
    assert.strictEqual((await later(past, 'delete'))[0].key.toString(), 'w/a');
    await Promise.all([watcher.cancel(), past.cancel()]);
    // Many on one stream.
    const many = await Promise.all(Array.from({ length: 200 }, (_, i) => client.watch().key(`many/${i}`).create()));
    const all = Promise.all(many.map((w) => later(w, 'put')));
    await Promise.all(many.map((_, i) => client.put(`many/${i}`).value(i)));
    assert.strictEqual((await all).every(([kv], i) => kv.value.toString() === `${i}`), true);
    await Promise.all(many.map((w) => w.cancel()));
  },

  async locks() {
    const lock = await client.lock('mutex').acquire();
    await assert.rejects(client.lock('mutex').acquire(), EtcdLockFailedError);
    await lock.release();
    const value = await client.lock('mutex').do(async () => 42);
    assert.strictEqual(value, 42);
  },

  async elections() {
    const election = client.election('chair', 10);
    const observer = await election.observe();
    const one = election.campaign('one');
    await one.wait();
    if (observer.leader() === undefined) await later(observer, 'change');
    assert.strictEqual(observer.leader(), 'one');
    const two = election.campaign('two');
    const proclaimed = later(observer, 'change');
    await one.proclaim('still one');
    assert.deepStrictEqual(await proclaimed, ['still one']);
    await one.resign();
    await two.wait();
    while (observer.leader() !== 'two') await later(observer, 'change');
    await two.resign();
    await observer.cancel();
  },

  async users_and_roles() {
    const role = client.role('reader');
    await role.create();
    await role.grant({ permission: 'Read', range: client.range({ prefix: 'r/' }) });
    const root = client.user('root');
    await root.create('rootpw');
    await client.role('root').create();
    await root.addRole('root');
    const ann = client.user('ann');
    await ann.create('annpw');
    await ann.addRole('reader');
    assert.strictEqual((await role.permissions())[0].permission, 'Read');
    assert.deepStrictEqual((await ann.roles()).map((r) => r.name), ['reader']);
    await client.put('r/a').value('x');
    await client.auth.authEnable();
    const as = (username, password) => {
      const c = new Etcd3({ hosts, auth: { username, password } });
      open.push(c);
      return c;
    };
    const admin = as('root', 'rootpw');
    try {
      const reader = as('ann', 'annpw');
      assert.strictEqual(await reader.get('r/a').string(), 'x');
      await assert.rejects(reader.put('r/a').value('y').exec(), EtcdPermissionDeniedError);
      await assert.rejects(reader.get('other').string(), EtcdPermissionDeniedError);
      await assert.rejects(as('ann', 'wrong').get('r/a').string(), EtcdAuthenticationFailedError);
      // Another password ends the token; the client signs in again by itself only with the right one.
      await admin.user('ann').setPassword('second');
      assert.strictEqual(await as('ann', 'second').get('r/a').string(), 'x');
    } finally {
      await admin.auth.authDisable();
    }
    assert.strictEqual(await client.get('r/a').string(), 'x');
  },
};

(async () => {
  let bad = false;
  for (const [name, test] of Object.entries(tests)) {
    try {
      await Promise.race([test(), new Promise((_, no) => setTimeout(() => no(new Error('not within 20 s')), 20000).unref())]);
      console.log(`ok ${name}`);
    } catch (e) {
      bad = true;
      console.log(`not ok ${name}: ${e.stack}`);
    }
  }
  open.forEach((c) => c.close());
  process.exit(bad ? 1 : 0);
})();
