package replica

// BatchBytes is about how many bytes of pages make a batch.
const BatchBytes = batchBytes
