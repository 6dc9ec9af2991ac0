// Where a picture comes from: a file that is dropped, pasted or chosen, or the camera.

import { byId } from "./dom.js";

const CAMERA = { video: { facingMode: "environment" }, audio: false };
const JPEG_QUALITY = 0.92;

/** Calls `chosen` with each picture, and `failed` with a title and a detail where the camera gives none. */
export function watchForPictures(chosen, failed) {
  const take = (files) => files.length > 0 && chosen(files[0]);
  byId("file").addEventListener("change", ({ target }) => {
    take(target.files);
    // the same file may be chosen again
    target.value = "";
  });
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
  watchForDrops(take);
  if (navigator.mediaDevices?.getUserMedia) offerCamera(chosen, failed);
}

function watchForDrops(take) {
  const stage = byId("stage");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("awaiting");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) stage.classList.remove("awaiting");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("awaiting");
    take(event.dataTransfer.files);
  });
}

function offerCamera(chosen, failed) {
  const [camera, shoot, viewfinder] = ["camera", "shoot", "viewfinder"].map(byId);
  const looking = () => viewfinder.srcObject !== null;
  const look = (stream) => {
    viewfinder.srcObject?.getTracks().forEach((track) => track.stop());
    viewfinder.srcObject = stream;
    viewfinder.hidden = shoot.hidden = !stream;
    camera.textContent = stream ? "Close the camera" : "Use the camera";
  };

  camera.hidden = false;
  camera.addEventListener("click", async () => {
    if (looking()) return look(null);
    try {
      look(await navigator.mediaDevices.getUserMedia(CAMERA));
      await viewfinder.play();
      shoot.focus();
    } catch (error) {
      look(null);
      failed("No camera", error.message);
    }
  });
  shoot.addEventListener("click", async () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [viewfinder.videoWidth, viewfinder.videoHeight];
    canvas.getContext("2d").drawImage(viewfinder, 0, 0);
    const picture = await new Promise((made) => canvas.toBlob(made, "image/jpeg", JPEG_QUALITY));
    look(null);
    camera.focus();
    if (picture) chosen(new File([picture], "camera.jpg", { type: picture.type }));
  });
}
