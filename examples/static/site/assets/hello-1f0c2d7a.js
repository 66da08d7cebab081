document.querySelector("h1").textContent += ", whoever you are";
