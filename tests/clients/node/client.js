// One scenario per run: node client.js BOOTSTRAP PREFIX SCENARIO [ARGUMENT...], through kafkajs.
//
// Everything a scenario creates is named after PREFIX. Exit code 0 means that every check held; otherwise the
// last line on standard error names the first that did not. Client settings stay at their defaults, but for
// what a scenario is about.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { ConfigResourceTypes, Kafka, Partitioners, logLevel } = require('kafkajs')

const PATIENCE_MS = 30_000
const FIRST_TIMESTAMP = 946_684_800_000

const [bootstrap, prefix, scenario, ...rest] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [bootstrap], clientId: prefix, logLevel: logLevel.NOTHING })
const named = suffix => `${prefix}-${suffix}`
const producing = () => kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })

// Runs a consumer until `each` has returned true for a record. What comes after that record is left alone.
async function consumeUntil(consumer, each) {
  let timer
  await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('records that were published never arrived')), PATIENCE_MS)
    let over = false
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (over) return
        try {
          over = await each(partition, message)
          if (over) resolve()
        } catch (error) {
          over = true
          reject(error)
        }
      },
    }).catch(reject)
  }).finally(() => clearTimeout(timer))
}

// Prices by symbol, published to a topic that nobody created, read back field by field.
async function stocks(csv) {
  const topic = named('stocks')
  const lines = fs.readFileSync(csv, 'utf8').trim().split('\n').slice(1)
  assert.ok(lines.length > 500, `${csv} has only ${lines.length} rows`)
  const messages = lines.map((line, row) => ({
    key: line.split(',')[0],
    value: line,
    timestamp: String(FIRST_TIMESTAMP + row * 1000),
    headers: { source: 'vega-datasets', row: String(row) },
  }))
  const producer = producing()
  await producer.connect()
  await producer.send({ topic, messages })
  await producer.disconnect()

  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  assert.equal(ends.reduce((sum, end) => sum + Number(end.high), 0), lines.length, 'records by end offset')
  await admin.disconnect()

  const consumer = kafka.consumer({ groupId: named('stocks-group') })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const last = new Map()
  const next = new Map()
  let left = lines.length
  await consumeUntil(consumer, (partition, message) => {
    const row = Number(message.headers.row)
    const sent = messages[row]
    assert.equal(Number(message.offset), next.get(partition) ?? 0, `offset in partition ${partition}`)
    next.set(partition, Number(message.offset) + 1)
    assert.equal(message.key.toString(), sent.key, 'key')
    assert.equal(message.value.toString(), sent.value, 'value')
    assert.equal(message.timestamp, sent.timestamp, 'timestamp')
    assert.equal(message.headers.source.toString(), 'vega-datasets', 'header')
    assert.ok((last.get(sent.key) ?? -1) < row, `${sent.key}: row ${row} came after row ${last.get(sent.key)}`)
    last.set(sent.key, row)
    return --left === 0
  })
  await consumer.disconnect()
}

// A consumer commits part of a topic and leaves; the next one of its group goes on exactly there.
async function resume() {
  const topic = named('resume')
  const groupId = named('resume-group')
  const records = 300
  const firstShare = 100
  await create(topic, '3')
  const producer = producing()
  await producer.connect()
  const messages = Array.from({ length: records }, (_, n) => ({ key: `key ${n}`, value: `value ${n}` }))
  await producer.send({ topic, messages })
  await producer.disconnect()

  const seen = new Set()
  for (const share of [firstShare, records - firstShare]) {
    const consumer = kafka.consumer({ groupId })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const next = new Map()
    let left = share
    await consumeUntil(consumer, (partition, message) => {
      const value = message.value.toString()
      assert.ok(!seen.has(value), `${value} was read twice in spite of its commit`)
      seen.add(value)
      next.set(partition, Number(message.offset) + 1)
      return --left === 0
    })
    const offsets = [...next].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }))
    await consumer.commitOffsets(offsets)
    await consumer.disconnect()
  }
  assert.equal(seen.size, records, 'different values read')

  const admin = kafka.admin()
  await admin.connect()
  const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
  assert.equal(committed.partitions.reduce((sum, p) => sum + Number(p.offset), 0), records, 'sum of committed offsets')
  await admin.disconnect()
}

async function create(topic, partitions) {
  const admin = kafka.admin()
  await admin.connect()
  const created = await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions) }] })
  assert.ok(created, `${topic} exists already`)
  await admin.disconnect()
}

// Topics created, described, altered and deleted; records and a group deleted.
async function admin() {
  const topic = named('admin')
  const groupId = named('admin-group')
  const client = kafka.admin()
  await client.connect()
  const wanted = { topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '3600000' }] }
  assert.equal(await client.createTopics({ topics: [wanted] }), true, 'create')
  assert.equal(await client.createTopics({ topics: [wanted] }), false, 'create twice')
  assert.ok((await client.listTopics()).includes(topic), 'the topic is not listed')
  await partitions(client, topic, 3)
  await config(client, topic, 'retention.ms', '3600000')
  await client.alterConfigs({
    validateOnly: false,
    resources: [
      { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'max.message.bytes', value: '65536' }] },
    ],
  })
  await config(client, topic, 'max.message.bytes', '65536')
  await client.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  await partitions(client, topic, 5)

  const producer = producing()
  await producer.connect()
  const messages = Array.from({ length: 10 }, (_, n) => ({ partition: 4, value: String(n) }))
  await producer.send({ topic, messages })
  await producer.disconnect()
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 4, offset: '7' }] })
  const offsets = (await client.fetchTopicOffsets(topic)).find(p => p.partition === 4)
  assert.deepEqual([offsets.low, offsets.high], ['7', '10'], 'start and end after deleting up to 7')

  await client.setOffsets({ groupId, topic, partitions: [{ partition: 4, offset: '8' }] })
  const { groups } = await client.describeGroups([groupId])
  assert.equal(groups[0].state, 'Empty', 'state of a group without members')
  assert.ok((await client.listGroups()).groups.some(g => g.groupId === groupId), 'the group is not listed')
  const [result] = await client.deleteGroups([groupId])
  assert.equal(result.errorCode, 0, 'delete the group')

  const { brokers, controller } = await client.describeCluster()
  assert.ok(brokers.some(b => b.nodeId === controller), 'the controller is not among the brokers')
  await client.deleteTopics({ topics: [topic] })
  await eventually(async () => assert.ok(!(await client.listTopics()).includes(topic), 'still listed after its deletion'))
  await client.disconnect()
}

// Transactions committed, aborted and fenced; a copy with its offsets in the transaction.
async function transactions() {
  const source = named('txn-from')
  const target = named('txn-to')
  const groupId = named('txn-group')
  await create(source, '1')
  await create(target, '1')
  const transactional = async id => {
    const createPartitioner = Partitioners.DefaultPartitioner
    const producer = kafka.producer({ createPartitioner, transactionalId: named(id), idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    return producer
  }
  const values = numbers => numbers.map(n => ({ value: String(n) }))

  const idempotent = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true })
  await idempotent.connect()
  await idempotent.send({ topic: source, messages: values([0, 1]) })
  await idempotent.send({ topic: source, messages: values([2]) })
  await idempotent.disconnect()

  const writer = await transactional('txn-writer')
  for (const [end, numbers] of [['commit', [3, 4]], ['abort', ['no', 'no']], ['commit', [5]]]) {
    const transaction = await writer.transaction()
    await transaction.send({ topic: source, messages: values(numbers) })
    await transaction[end]()
  }
  assert.deepEqual(await committed(source, 6), ['0', '1', '2', '3', '4', '5'], 'committed')

  const open = await writer.transaction()
  await open.send({ topic: source, messages: values(['fenced']) })
  const heir = await transactional('txn-writer')
  await (await heir.transaction()).abort()
  await assert.rejects(open.commit(), 'the first producer could commit although a second one took its id')
  await writer.disconnect()

  const consumer = kafka.consumer({ groupId, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topic: source, fromBeginning: true })
  let position = 0
  let left = 6
  await consumeUntil(consumer, async (partition, message) => {
    const transaction = await heir.transaction()
    await transaction.send({ topic: target, messages: [{ value: message.value }] })
    position = Number(message.offset) + 1
    const topics = [{ topic: source, partitions: [{ partition, offset: String(position) }] }]
    await transaction.sendOffsets({ consumerGroupId: groupId, topics })
    await transaction.commit()
    return --left === 0
  })
  await consumer.disconnect()
  await heir.disconnect()
  assert.deepEqual(await committed(target, 6), ['0', '1', '2', '3', '4', '5'], 'copied')
  const client = kafka.admin()
  await client.connect()
  const [offsets] = await client.fetchOffsets({ groupId, topics: [source] })
  assert.equal(Number(offsets.partitions[0].offset), position, 'committed offset')
  await client.disconnect()
}

// What a reader of committed records finds in a topic of one partition, up to so many records.
async function committed(topic, count) {
  const consumer = kafka.consumer({ groupId: named(`reader-of-${topic}`), readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const found = []
  await consumeUntil(consumer, (_, message) => found.push(message.value.toString()) === count)
  await consumer.disconnect()
  return found
}

// Repeats a check: Kafka answers a change before every part of it shows.
async function eventually(check) {
  const deadline = Date.now() + 5000
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

const partitions = (client, topic, count) => eventually(async () => {
  const { topics } = await client.fetchTopicMetadata({ topics: [topic] })
  assert.equal(topics[0].partitions.length, count, 'partitions')
})

const config = (client, topic, name, value) => eventually(async () => {
  const described = await client.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }],
  })
  const entry = described.resources[0].configEntries.find(e => e.configName === name)
  assert.equal(entry?.configValue, value, name)
})

// Publishes the lines of a file, key<TAB>value, and waits for every acknowledgement.
async function publish(topic, file) {
  const messages = fs.readFileSync(file, 'utf8').trimEnd().split('\n').map(line => {
    const tab = line.indexOf('\t')
    return { key: line.slice(0, tab), value: line.slice(tab + 1) }
  })
  const producer = producing()
  await producer.connect()
  for (let from = 0; from < messages.length; from += 1000) {
    await producer.send({ topic, messages: messages.slice(from, from + 1000) })
  }
  await producer.disconnect()
  console.log('published', messages.length)
}

// One member of a consumer group with everything at its default: prints what it reads until it is told to stop.
async function member(topic, groupId) {
  const consumer = kafka.consumer({ groupId })
  const stopped = new Promise(resolve => process.once('SIGTERM', resolve))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      fs.writeSync(1, `record ${partition} ${message.offset} ${message.key}\n`)
    },
  })
  await stopped
  await consumer.disconnect()
}

const scenarios = { stocks, resume, admin, transactions, create, publish, member }
if (!Object.hasOwn(scenarios, scenario ?? '')) {
  console.error(`usage: client.js BOOTSTRAP PREFIX ${Object.keys(scenarios).join('|')} [ARGUMENT...]`)
  process.exit(2)
}
scenarios[scenario](...rest).then(
  () => process.exit(0),
  error => {
    console.error(`${scenario}: ${error.name}: ${error.message}`)
    process.exit(1)
  },
)
