// @ts-check
/** The phone's camera: reading crate codes where the browser can, and one photograph, shrunk and hashed here. */

const LONGEST_SIDE_PX = 1600;
const JPEG_QUALITY = 0.82;
const SCAN_EVERY_MS = 160;

/**
 * @typedef {{detect(source: CanvasImageSource): Promise<{rawValue: string}[]>}} Detector
 * @typedef {{blob: Blob, sha256: string}} Photograph
 */

/**
 * Return a reader of QR and Data Matrix codes, or null where this browser has none.
 * @returns {Promise<Detector | null>}
 */
export async function codeReader() {
  const Reader = /** @type {any} */ (globalThis).BarcodeDetector;
  if (!Reader || !navigator.mediaDevices?.getUserMedia) return null;
  try {
    const can = await Reader.getSupportedFormats();
    const formats = ["qr_code", "data_matrix", "code_128"].filter((f) => can.includes(f));
    return formats.length ? new Reader({ formats }) : null;
  } catch {
    return null;
  }
}

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #timer = 0;
  #isLit = false;

  /**
   * Show the back camera in a video element. Throws where there is none or it is refused.
   * @param {HTMLVideoElement} video
   */
  async show(video) {
    const wanted = { facingMode: { ideal: "environment" }, width: { ideal: 1920 }, height: { ideal: 1440 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    this.stop();
    this.#stream = stream;
    video.srcObject = stream;
    video.muted = true;
    await video.play();
  }

  /**
   * Call back with every text the reader finds, until stopped.
   * @param {HTMLVideoElement} video
   * @param {Detector} reader
   * @param {(text: string) => void} found
   */
  scan(video, reader, found) {
    const look = async () => {
      if (!this.#stream) return;
      try {
        for (const { rawValue } of await reader.detect(video)) found(rawValue);
      } catch {
        // A frame that cannot be read is followed by another one.
      }
      if (this.#stream) this.#timer = window.setTimeout(look, SCAN_EVERY_MS);
    };
    void look();
  }

  /** Whether there is a light to switch. */
  get hasTorch() {
    const track = this.#stream?.getVideoTracks()[0];
    const can = /** @type {any} */ (track?.getCapabilities?.());
    return Boolean(can?.torch);
  }

  async toggleTorch() {
    this.#isLit = !this.#isLit;
    const constraint = /** @type {any} */ ({ advanced: [{ torch: this.#isLit }] });
    await this.#stream?.getVideoTracks()[0]?.applyConstraints(constraint);
  }

  stop() {
    window.clearTimeout(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#isLit = false;
  }
}

/**
 * Return a photograph of what the camera sees or of a chosen file: upright JPEG of at most 1600 px and its SHA-256.
 * @param {HTMLVideoElement | Blob} source
 * @returns {Promise<Photograph>}
 */
export async function photograph(source) {
  const picture = await createImageBitmap(source);
  const scale = Math.min(1, LONGEST_SIDE_PX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  // Drawing again drops what the camera wrote beside the picture: its place, its owner, its serial number.
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((/** @type {(b: Blob | null) => void} */ done) =>
    canvas.toBlob(done, "image/jpeg", JPEG_QUALITY),
  );
  if (!blob) throw new Error("the photograph could not be kept");
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  const sha256 = [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  return { blob, sha256 };
}
