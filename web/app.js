"use strict";
fetch("/api/v2/cameras").then((r) => r.json()).then(({ cameras }) => {
  for (const camera of cameras) {
    const image = document.createElement("img");
    image.alt = camera.name;
    image.src = `/api/v2/cameras/${camera.name}/stream.mjpg?annotated=1`;
    document.getElementById("cameras").append(image);
  }
});
