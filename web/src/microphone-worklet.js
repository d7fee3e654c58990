// In the audio thread: gathers a microphone's samples into blocks and hands them to the page.

const BLOCK = 2048 // samples: 43 ms at 48 kHz

class Microphone extends AudioWorkletProcessor {
  block = new Float32Array(BLOCK)
  filled = 0

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const count = channels[0]?.length ?? 0
    for (let i = 0; i < count; i++) {
      this.block[this.filled++] = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length
      if (this.filled < BLOCK) continue
      this.port.postMessage(this.block, [this.block.buffer])
      this.block = new Float32Array(BLOCK)
      this.filled = 0
    }
    return true
  }
}

registerProcessor('handful-microphone', Microphone)
