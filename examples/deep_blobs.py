"""Blobs of 30 features, encoded in two numbers by an autoencoder, the codes clustered by k-means: deep_blobs.png."""

from sklearn.datasets import make_blobs

from gpuclust import Autoencoder, KMeans
from gpuclust.metrics import adjusted_rand_score
from gpuclust.report import plot_clusters

X, truth = make_blobs(2000, n_features=30, centers=5, cluster_std=2.0, random_state=3)

autoencoder = Autoencoder(n_components=2, epochs=20, random_state=0).fit(X)
codes = autoencoder.transform(X)
kmeans = KMeans(n_clusters=5, random_state=0).fit(codes)

print(f"ARI {adjusted_rand_score(truth, kmeans.labels_):.3f}")
plot_clusters(codes, "deep_blobs.png", labels=kmeans.labels_, centers=kmeans.cluster_centers_, title="k-means of codes")
