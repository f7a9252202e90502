// Reads flags over OFREP with OpenFeature's official clients for JavaScript:
// single flags with the server SDK and its OFREP provider, all flags with the
// core that the client-side providers are built on.
//
//   node read.mjs BASE_URL < steps.json
//
// BASE_URL is where /ofrep is, such as http://127.0.0.1:8600. Standard input is
// a JSON list of steps:
//
//   {"flag": KEY, "default": VALUE, "context": {...}}  one flag, of the default's type
//   {"all": true, "context": {...}, "etag": TAG}       all flags; etag may be left out, or be
//                                                      "last": the one of the last answer
//
// For each step one line of JSON is printed. For a flag it is the SDK's
// evaluation details: value, reason, variant, flagMetadata, errorCode,
// errorMessage. For all flags: status, etag, and flags or errorCode and
// errorDetails. What a client throws: {"thrown": NAME, "message": TEXT}.
import { text } from 'node:stream/consumers';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPApi } from 'ofrep-core-2';

const baseUrl = process.argv[2];
if (!baseUrl) {
  console.error('usage: node read.mjs BASE_URL < steps.json');
  process.exit(2);
}

// The SDK says every failed evaluation on stderr as well; the lines say it.
const silent = () => {};
OpenFeature.setLogger({ error: silent, warn: silent, info: silent, debug: silent });
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
const api = new OFREPApi({ baseUrl });
let last = null;

function readOne(step) {
  switch (typeof step.default) {
    case 'boolean': return client.getBooleanDetails(step.flag, step.default, step.context);
    case 'string': return client.getStringDetails(step.flag, step.default, step.context);
    case 'number': return client.getNumberDetails(step.flag, step.default, step.context);
    default: return client.getObjectDetails(step.flag, step.default, step.context);
  }
}

async function readAll(step) {
  const etag = step.etag === 'last' ? last : step.etag;
  const result = await api.postBulkEvaluateFlags({ context: step.context }, etag);
  const answer = { status: result.httpStatus, etag: result.httpResponse.headers.get('ETag'), ...result.value };
  last = answer.etag ?? last;
  return answer;
}

for (const step of JSON.parse(await text(process.stdin))) {
  let line;
  try {
    line = await (step.all ? readAll(step) : readOne(step));
  } catch (error) {
    line = { thrown: error.name, message: error.message };
  }
  console.log(JSON.stringify(line));
}
await OpenFeature.close();
