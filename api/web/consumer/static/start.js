// Scanning in the page, where the browser can: everywhere else the phone's own camera does it.
import { need, t } from "/web/shared/kit.js";

const Detector = /** @type {any} */ (window).BarcodeDetector;
const button = need("#scan");
const trouble = need("#scan-trouble");
const camera = need("#camera");
const video = /** @type {HTMLVideoElement} */ (need("video", camera));

async function scan() {
  trouble.hidden = true;
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    trouble.textContent = t("consumer.js.scan_failed", { why: error instanceof Error ? error.name : "" });
    trouble.hidden = false;
    return;
  }
  video.srcObject = stream;
  camera.hidden = false;
  await video.play();
  const detector = new Detector({ formats: ["qr_code", "data_matrix"] });
  const look = async () => {
    const [found] = await detector.detect(video).catch(() => []);
    if (found) {
      for (const track of stream.getTracks()) track.stop();
      location.href = `/?code=${encodeURIComponent(found.rawValue)}`;
      return;
    }
    setTimeout(look, 150);
  };
  await look();
}

if (Detector && navigator.mediaDevices) {
  button.hidden = false;
  button.addEventListener("click", scan);
}
