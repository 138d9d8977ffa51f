// One scenario per run: node librdkafka.js BOOTSTRAP PREFIX SCENARIO, through @confluentinc/kafka-javascript.
//
// What the program for kafkajs says of itself holds here too.
'use strict'

const assert = require('node:assert/strict')
const { KafkaJS } = require('@confluentinc/kafka-javascript')

const PATIENCE_MS = 30_000
const [bootstrap, prefix, scenario] = process.argv.slice(2)
const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers: [bootstrap], clientId: prefix, logLevel: KafkaJS.logLevel.NOTHING } })
const named = suffix => `${prefix}-ckjs-${suffix}`
const values = numbers => numbers.map(n => ({ value: String(n), partition: 0 }))

async function withAdmin(work) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

const create = (topic, numPartitions) => withAdmin(admin => admin.createTopics({ topics: [{ topic, numPartitions }] }))

async function producing(settings) {
  const producer = kafka.producer({ kafkaJS: settings })
  await producer.connect()
  return producer
}

// Reads so many committed records, each of which goes through `each` with its partition.
async function consume(groupId, topic, count, each) {
  const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, autoCommit: false, readUncommitted: false } })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  let timer
  await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${topic}: ${count} records never arrived`)), PATIENCE_MS)
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        if (count === 0) return
        try {
          await each(message, partition, consumer)
          if (--count === 0) resolve()
        } catch (error) {
          reject(error)
        }
      },
    }).catch(reject)
  }).finally(() => clearTimeout(timer))
  await consumer.disconnect()
}

async function committed(topic, count) {
  const found = []
  await consume(named(`reader-of-${topic}`), topic, count, message => found.push(message.value.toString()))
  return found
}

// An idempotent producer: each record once, in order.
async function idempotent() {
  const topic = named('idempotent')
  await create(topic, 1)
  const producer = await producing({ idempotent: true })
  const numbers = Array.from({ length: 1000 }, (_, n) => n)
  await Promise.all(numbers.map(n => producer.send({ topic, messages: values([n]) })))
  await producer.disconnect()
  assert.deepEqual(await committed(topic, 1000), numbers.map(String))
}

// Transactions committed, aborted and fenced; a copy with its offsets in the transaction.
async function transactions() {
  const [source, target, groupId] = [named('from'), named('to'), named('group')]
  await create(source, 1)
  await create(target, 1)
  const writer = await producing({ transactionalId: named('writer') })
  for (const [end, numbers] of [['commit', [0, 1]], ['abort', ['no', 'no']], ['commit', [2]]]) {
    const transaction = await writer.transaction()
    await transaction.send({ topic: source, messages: values(numbers) })
    await transaction[end]()
  }
  const open = await writer.transaction()
  await open.send({ topic: source, messages: values(['fenced']) })
  const heir = await producing({ transactionalId: named('writer') })
  await assert.rejects(open.commit(), 'the first producer could commit although a second one took its id')
  assert.deepEqual(await committed(source, 3), ['0', '1', '2'], 'committed')

  let position = 0
  await consume(groupId, source, 3, async (message, partition, consumer) => {
    const transaction = await heir.transaction()
    await transaction.send({ topic: target, messages: [{ value: message.value, partition }] })
    position = Number(message.offset) + 1
    const topics = [{ topic: source, partitions: [{ partition, offset: String(position) }] }]
    await transaction.sendOffsets({ consumer, topics })
    await transaction.commit()
  })
  await heir.disconnect()
  assert.deepEqual(await committed(target, 3), ['0', '1', '2'], 'copied')
  const [offsets] = await withAdmin(admin => admin.fetchOffsets({ groupId, topics: [source] }))
  assert.equal(Number(offsets.partitions[0].offset), position, 'committed offset')
}

// Topics and groups as an administrator sees and changes them.
async function admin() {
  const [topic, groupId] = [named('admin'), named('admin-group')]
  assert.equal(await create(topic, 3), true, 'create')
  assert.equal(await create(topic, 3), false, 'create twice')
  const producer = await producing({})
  await producer.send({ topic, messages: values([0, 1, 2, 3]) })
  await producer.disconnect()
  await consume(groupId, topic, 4, () => {})
  await withAdmin(async client => {
    assert.ok((await client.listTopics()).includes(topic), 'the topic is not listed')
    const [described] = await client.fetchTopicMetadata({ topics: [topic] }).then(found => found.topics ?? found)
    assert.equal(described.partitions.length, 3, 'partitions')
    await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
    const ends = (await client.fetchTopicOffsets(topic)).find(found => found.partition === 0)
    assert.deepEqual([ends.low, ends.high], ['3', '4'], 'start and end after deleting up to 3')
    assert.ok((await client.listGroups()).groups.some(group => group.groupId === groupId), 'the group is not listed')
    await client.deleteGroups([groupId])
    await client.deleteTopics({ topics: [topic] })
    // The client may answer from what it knew before.
    for (const deadline = Date.now() + 5000; (await client.listTopics()).includes(topic); ) {
      assert.ok(Date.now() < deadline, 'still listed after its deletion')
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  })
}

const scenarios = { idempotent, transactions, admin }
if (!Object.hasOwn(scenarios, scenario ?? '')) {
  console.error(`usage: librdkafka.js BOOTSTRAP PREFIX ${Object.keys(scenarios).join('|')}`)
  process.exit(2)
}
scenarios[scenario]().then(
  () => process.exit(0),
  error => {
    console.error(`${scenario}: ${error.name}: ${error.message}`)
    process.exit(1)
  },
)
